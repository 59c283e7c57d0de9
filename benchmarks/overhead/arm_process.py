# ruff: noqa: E402
"""Runs one arm of the overhead benchmark in a process of its own.

    python benchmarks/overhead/arm_process.py SETTINGS

`measure.py` starts it for each arm, with the settings as JSON. It builds
model and data, prints a line when it is ready, and answers each line `run`
with the seconds of a whole fine-tune, and `end` with its peak of memory. Its
answers are lines of JSON; all else goes to stderr.
"""

import json
import os
import pathlib
import sys

if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import keras

from overhead import machine
from overhead.arms import BYORnArm, KerasHubArm
from overhead.compilations import Compilations
from overhead.data import SEED
from overhead.model import (
    BACKBONES,
    SEQUENCE_LENGTH,
    backbone_config,
    forward_flops,
    pretrain,
)


def main():
    settings = json.loads(sys.argv[1])
    # Libraries print too, which must not come between the lines of JSON.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    machine.hide_gpu_from_tensorflow()

    def say(**values):
        out.write(json.dumps(values) + "\n")

    if settings["method"] == "pretrain":
        pretrain(settings)
        say()
    else:
        serve(settings, sys.stdin, say)


def serve(settings, lines, say):
    """Builds an arm and answers `run` and `end`, until `end`.

    Args:
        settings: dict. Those of the arm.
        lines: iterable of strings.
        say: function that takes an answer as keyword arguments.
    """
    before = machine.resident("VmRSS")
    compilations = Compilations()
    keras.utils.set_random_seed(SEED)
    kind = KerasHubArm if settings["method"] == "kerashub" else BYORnArm
    arm = kind(settings)
    say(
        backend=keras.config.backend(),
        machine=machine.machine(),
        num_params=arm.vlm.count_params(),
        setup_seconds=arm.setup_seconds,
    )
    for line in lines:
        if line.strip() == "run":
            say(**arm.run(compilations))
        elif line.strip() == "end":
            memory, kind = machine.peak_memory()
            late = compilations.late if compilations.is_known else None
            say(
                peak_memory=memory,
                memory_kind=kind,
                memory_before=before,
                compilations=late,
                **rates(arm, settings),
            )
            return


def rates(arm, settings):
    """Returns operations of a forward pass, and a second; of arms that score.

    Args:
        arm: an arm.
        settings: dict.
    """
    if settings["size"] not in BACKBONES or not settings.get("score"):
        return {}
    flops = forward_flops(backbone_config(settings), SEQUENCE_LENGTH)
    dtype = arm.vlm.backbone.compute_dtype
    return {
        "forward_flops": sum(flops.values()),
        "matrix_rate": machine.matrix_rate(dtype),
    }


if __name__ == "__main__":
    main()
