"""OpenVINO, the runtime of networks, without its telemetry."""

import sys
import threading
from typing import Any

__all__ = ["import_openvino", "infer", "leave_out_conversion"]

_TELEMETRY = "openvino_telemetry"
_CONVERSION = "openvino.tools.ovc"
_one_at_a_time = threading.Lock()  # a second thread must not let the telemetry in while the first still imports
_first, _first_is_over = threading.Lock(), threading.Event()


def import_openvino() -> Any:
    """Import the module.

    A plain import would write an identifier into the user's home and report the import to a server, if the package
    `openvino_telemetry` can be imported; this import is blocked meanwhile.
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


def leave_out_conversion() -> None:
    """Let `import openvino` skip its tools that convert models, for the rest of this process.

    They are half of its import time, 0.09 s of 0.15 s, and this package never converts by them. Only a process that is
    all ours may do so: elsewhere `openvino.convert_model` would be missing.
    """
    sys.modules.setdefault(_CONVERSION, None)  # type: ignore[arg-type]


def infer(request: Any, values: Any) -> None:
    """Run a request on the values of its one input; the first one of the process runs alone.

    The input is always copied: a request that once copied and once shared its input broke the heap
    (OpenVINO 2026.4); the copy takes 0.1 ms of 20.

    OpenVINO's Python layer fills a table at its first input, and two threads that do so together deadlock
    (one has the table's guard, the other the interpreter's lock; 2026.4).
    """
    if _first_is_over.is_set():
        request.infer({0: values}, share_inputs=False)
        return
    with _first:
        request.infer({0: values}, share_inputs=False)
        _first_is_over.set()
