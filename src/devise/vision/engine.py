"""The network engine, OpenVINO, without its telemetry."""

import sys
import threading
from typing import Any

__all__ = ["import_openvino"]

_TELEMETRY = "openvino_telemetry"
_one_at_a_time = threading.Lock()  # a second thread must not let the telemetry in while the first still imports


def import_openvino() -> Any:
    """The module.

    Importing it alone would write an identifier into the user's home and tell a server of the import, if the package
    `openvino_telemetry` can be imported too; so it cannot be meanwhile.
    """
    with _one_at_a_time:
        if "openvino" in sys.modules or _TELEMETRY in sys.modules:
            import openvino

            return openvino
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            del sys.modules[_TELEMETRY]
        return openvino
