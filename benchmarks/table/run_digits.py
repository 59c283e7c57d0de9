# ruff: noqa: E402
"""Runs defences over adaptive attacks, honest minorities, noise, clean data.

    TABLE=benchmarks/table/run_digits.py
    python $TABLE                                      # all that is missing
    python $TABLE --cases "patch 10 %;painted contrast" --defences ours
    python $TABLE --table                              # only the tables
    python $TABLE --scores-only --scores SCORES        # no training
    KERAS_BACKEND=torch python $TABLE --seeds 0        # on another backend

About 40 seconds a cell on one CPU core. Figures are kept as they come in
`results/digits.jsonl`, one line for each case, seed and defence, so that a run
that was stopped goes on; the tables are `digits.md` beside it.

`--scores SCORES` writes token scores, texts and the ground truth of each case
and seed to a folder, to try a decision on. Insertions into long responses need
`--long-preset`; see `examples/pretrain_tiny_vlm.py` for how to make one.
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = pathlib.Path(__file__).resolve().parent
if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(HERE.parent)
    sys.path.append(str(HERE.parents[1] / "examples"))

from table import workers
from table.cases import CASES
from table.results import DEFENCES, read_cells, write_tables

RESULTS = HERE / "results" / "digits.jsonl"


def main(arguments=None):
    args = parse_arguments(arguments)
    if args.worker:
        return workers.work(args)
    if not args.table:
        workers.run_missing(args)
    if not args.scores_only:
        write_tables(read_cells(args.results), args.results)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--cases", type=split(";"), default=list(CASES), help="split by ;")
    add("--seeds", type=split(",", int), default=[0, 1, 2, 3, 4])
    add("--defences", type=split(","), default=list(DEFENCES))
    add("--jobs", type=int, default=2, help="processes at a time")
    add("--num-train", type=int, default=2000)
    add("--num-test", type=int, default=500)
    add("--epochs", type=int, default=3)
    add("--table", action="store_true", help="only render the tables")
    add("--scores", help="folder for token scores of each case and seed")
    add("--scores-only", action="store_true", help="train nothing")
    add("--long-preset", help="for insertions by length")
    add("--cache", help="folder for compiled programs and fitted attacks")
    add("--data-dir", help="defaults to the folder of TFDS")
    add("--results", type=pathlib.Path, default=RESULTS)
    add("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    unknown = set(args.cases) - set(CASES)
    unknown |= set(args.defences) - set(DEFENCES)
    if unknown:
        parser.error(f"no such case or defence: {'; '.join(sorted(unknown))}")
    if args.scores_only and not args.scores:
        parser.error("--scores-only needs the folder --scores")
    return args


def split(separator, kind=str):
    """Returns a function that splits a text into values."""
    return lambda text: [kind(part) for part in text.split(separator)]


if __name__ == "__main__":
    main()
