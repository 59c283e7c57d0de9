# ruff: noqa: E402
"""Measures an audit beside one epoch of undefended training.

    KERAS_BACKEND=jax taskset -c 0 python benchmarks/overhead/audit.py

takes about six minutes on one core, and should print a ratio of 0.27; the bar
is 0.40. `results/audit.jsonl` has it.

The bundled preset audits 20,000 Digit Scenes of short captions, a tenth of
them poisoned, as `keras-byorn audit` does: it checks and tokenizes them, scores
them, decides, and writes the detection, the page, the table and the cleaned
data set. Then the same model is tuned on the same examples for an epoch, all
weights, without a defence; checking and tokenizing counts there as well.

Like everywhere in this benchmark what is compiled was compiled before: both
are done twice, and the second time counts. `with_compilation` is the first.
Seconds are those of the processor, so that on one core no other process counts.

The last line is one JSON object: `ratio`, `with_compilation`, `seconds` of
both and of the parts of the audit, and what was found.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import tempfile
import time

if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import keras
import keras_hub

import keras_byorn
from keras_byorn.cli.reporting import write_report
from overhead import machine
from overhead.clock import Clock
from overhead.data import SEED, patched_scenes

BAR = 0.40
LEARNING_RATE = 2e-4


class CoreClock(Clock):
    """Adds up seconds of the processor under names."""

    @contextlib.contextmanager
    def __call__(self, name):
        started = time.process_time()
        yield
        self.seconds[name] += time.process_time() - started


def main(arguments=None):
    args = parse_arguments(arguments)
    machine.hide_gpu_from_tensorflow()
    examples, poisoned_ids, _ = patched_scenes(args.examples)
    vlm = keras_hub.models.CausalLM.from_preset(
        keras_byorn.tiny_preset(), dtype="float32"
    )
    reference = keras_byorn.FrozenReference(vlm, adapters_off=True)
    with tempfile.TemporaryDirectory() as out:
        folder = pathlib.Path(out)
        audits = [
            audit(examples, vlm, reference, folder, args) for _ in range(2)
        ]
    detection, clock = audits[-1]
    epochs = train(examples, vlm, args)
    first = sum(audits[0][1].seconds.values())
    record = {
        "backend": keras.config.backend(),
        "num_examples": args.examples,
        "ratio": rounded(sum(clock.seconds.values()) / epochs[-1]),
        "with_compilation": rounded(first / epochs[0]),
        "bar": BAR,
        "seconds": {
            "audit": rounded(sum(clock.seconds.values())),
            "epoch": rounded(epochs[-1]),
            **{name: rounded(s) for name, s in clock.seconds.items()},
        },
        **found(detection, poisoned_ids),
        "batch_size": args.batch_size,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "machine": machine.machine(),
    }
    if args.results:
        with open(args.results, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    print(json.dumps(record))
    return record


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--examples", type=int, default=20_000)
    add("--batch-size", type=int, default=64)
    add("--results", help="JSONL file to add the result to")
    return parser.parse_args(arguments)


def audit(examples, vlm, reference, folder, args):
    """Audits the examples, and writes all that the command writes.

    Returns:
        A pair of the `Detection` and a `CoreClock` of the parts.
    """
    clock = CoreClock()
    with clock("prepare"):
        prepared = keras_byorn.PreparedExamples(
            examples, vlm, args.batch_size, verbose=0
        )
    own = reference.score
    reference.score = clock.timed("score", own)
    with clock("decide"):
        detector = keras_byorn.Detector(verbose=0, seed=SEED)
        detection = detector.detect(prepared, reference)
    clock.seconds["decide"] -= clock.seconds["score"]
    reference.score = own
    with clock("save"):
        detection.save(folder / "detection")
    with clock("report"):
        write_report(detection, examples, folder)
    return detection, clock


def train(examples, vlm, args):
    """Tunes the model twice for an epoch; returns the seconds of each."""
    model = keras_byorn.BYORnModel(vlm)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            LEARNING_RATE, use_ema=True, ema_momentum=0.9
        )
    )
    seconds = []
    for _ in range(2):
        started = time.process_time()
        batches = keras_byorn.TargetBatches(
            examples, vlm, batch_size=args.batch_size, seed=SEED, verbose=0
        )
        model.fit(batches, epochs=1, verbose=0)
        seconds.append(time.process_time() - started)
    return seconds


def found(detection, poisoned_ids):
    """Returns how much of the poison is to be replaced, a dict."""
    replaced = {
        example_id
        for example_id, proposal in zip(
            detection.example_ids, detection.proposals
        )
        if proposal == "replace"
    }
    return {
        "num_poisoned": len(poisoned_ids),
        "num_poisoned_replaced": len(replaced & poisoned_ids),
        "num_honest_replaced": len(replaced - poisoned_ids),
        "num_held_out": int(detection.held_out.sum()),
    }


def rounded(value):
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
