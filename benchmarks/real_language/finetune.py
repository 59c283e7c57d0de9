# ruff: noqa: E402
"""Fine-tunes SmolLM2 on captions with a word as trigger, with and without us.

    FINETUNE=benchmarks/real_language/finetune.py
    python $FINETUNE --preset PRESET --data FOLDER         # what is missing
    python $FINETUNE --table                               # only the tables

The preset is that of `load.py`; the folder holds `captions.jsonl`, Flickr8k's,
see `captions.py`. 200 captions of the part `finetune`, a tenth of them
poisoned, LoRA of rank 4, four epochs; 60 captions of the part `test`. Each
cell, a case, a defence and a seed, is a process of its own, of about five
minutes on one CPU core that it has to itself. Figures are kept as they come in
`results/finetune.jsonl`, so that a run that was stopped goes on; the tables are
`finetune.md` beside it.
"""

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from real_pictures.finetune import checked, split

from real_language.tables import render

RESULTS = pathlib.Path(__file__).resolve().parent / "results/finetune.jsonl"
KEY = ("backend", "case", "defence", "seed")


def main(arguments=None):
    args = parse_arguments(arguments)
    if args.cell:
        return run_one(args)
    if not args.table:
        for cell in missing(args):
            spawn(cell, args)
    write_tables(args.results)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--preset")
    add("--data")
    add("--cases", type=split, help="by default all")
    add("--defences", type=split, help="by default all")
    add("--seeds", type=split, default=["0", "1", "2"])
    add("--results", type=pathlib.Path, default=RESULTS)
    add("--epochs", type=int, default=4)
    add("--limit", type=int, help="captions of each part")
    add("--table", action="store_true")
    add("--cell", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if not args.table and not (args.preset and args.data):
        parser.error("--preset and --data are needed, but for --table")
    return args


def read_results(path):
    """Reads the kept results, a list of dicts; of equal cells the last."""
    if not path.exists():
        return []
    results = map(json.loads, path.read_text().splitlines())
    return list({key_of(result): result for result in results}.values())


def key_of(result):
    return tuple(result[name] for name in KEY)


def missing(args):
    """Lists cells without a result, triples of strings, by seed first."""
    import keras

    from real_language.cells import CASES, DEFENCES

    cases = checked("--cases", args.cases, CASES)
    defences = checked("--defences", args.defences, DEFENCES)
    known = {key_of(result) for result in read_results(args.results)}
    backend = keras.config.backend()
    return [
        (case, defence, seed)
        for seed, case, defence in itertools.product(
            args.seeds, cases, defences
        )
        if (backend, case, defence, int(seed)) not in known
    ]


def spawn(cell, args):
    """Runs a cell in a process of its own, and keeps its last line."""
    cache = pathlib.Path(tempfile.gettempdir()) / "jax_programs"
    options = ["--preset", args.preset, "--data", args.data]
    options += ["--epochs", str(args.epochs)]
    options += ["--limit", str(args.limit)] if args.limit else []
    process = subprocess.run(
        [sys.executable, __file__, *options, "--cell", *cell],
        capture_output=True,
        text=True,
        env={
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
    )
    if process.returncode:
        status = f"failed with {process.returncode}:"  # negative: a signal
        print(*cell, status, process.stderr[-2000:], flush=True)
        return
    line = process.stdout.splitlines()[-1]
    args.results.parent.mkdir(parents=True, exist_ok=True)
    with args.results.open("a") as file:
        file.write(line + "\n")
    print(line[:300], flush=True)
    write_tables(args.results)


def run_one(args):
    """Runs one cell, and prints its figures as JSON."""
    import keras

    from real_language.cells import run_cell

    case, defence, seed = args.cell
    with contextlib.redirect_stdout(sys.stderr):
        figures = run_cell(
            case,
            defence,
            int(seed),
            args.preset,
            args.data,
            args.epochs,
            args.limit,
        )
    key = dict(zip(KEY, (keras.config.backend(), case, defence, int(seed))))
    print(json.dumps({**key, **figures}))


def write_tables(path):
    """Writes the tables of all results beside their file."""
    path.with_suffix(".md").write_text(render(read_results(path)))


if __name__ == "__main__":
    main()
