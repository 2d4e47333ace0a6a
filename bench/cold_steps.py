"""The steps of `devise label PHOTO`, one after the other, their times as JSON. Run by bench.coldstart.

The command itself takes some of them side by side, so their sum may be above its time.
"""

import time

_began = time.perf_counter()

import contextlib  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402

_times: dict[str, float] = {}


def done(step: str) -> None:
    global _began  # noqa: PLW0603  # one clock for a script
    now = time.perf_counter()
    _times[step] = now - _began
    _began = time.perf_counter()


import numpy as np  # noqa: E402, F401

done("import numpy")
import typer  # noqa: E402, F401

done("import typer")
from devise.cli.app import main  # noqa: E402

with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["--version"])
done("import the commands")
from devise.model.labeller import LabelRequest, load  # noqa: E402

done("import the labeller")
from devise.cli.answers_output import form_of  # noqa: E402
from devise.cli.output import Output, Tally, write_answers  # noqa: E402

done("import the output")
from devise.vision.runtime import import_openvino  # noqa: E402

import_openvino()
done("import openvino")
model = load()
done("open the bundle")
model.parts.bundle.labels  # noqa: B018
done("read the label table")
model.parts.space  # noqa: B018
done("read the label vectors")
model.parts.taxonomy  # noqa: B018
done("read the taxonomy")
model.parts.labelled(model.labels[0])
done("read the glosses")
request = LabelRequest()
run = model.run(request)
done("make the scorer")
backbone = model.backbone()
done("read and compile the network")
extracted = list(model.features([sys.argv[1]]))
done("decode the photo, run the network")
answers = run.answers_of(extracted)
done("score")
printed = io.StringIO()
write_answers(answers, form_of("table", printed, request), Output(printed, "the answers"), Tally())
done("print")
print(json.dumps(_times))
