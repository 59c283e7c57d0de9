# ruff: noqa: E402
"""Fine-tunes a captioner on real pictures, attacked and defended.

    FINETUNE=benchmarks/real_pictures/finetune.py
    python $FINETUNE --preset PRESET --data FOLDER         # what is missing
    python $FINETUNE --table                               # only the tables
    python $FINETUNE --preset PRESET --data FOLDER --scores OUT

The preset is one of `pretrain.py`, the folder its data. Each cell, a case, a
defence and a seed, is a process of its own. Figures are kept as they come in
`results/finetune.jsonl`, so that a run that was stopped goes on; the tables
are `finetune.md` beside it. With `--scores`, nothing is tuned: the token scores
of each case and seed are written to a folder, to try decisions on.
"""

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from real_pictures.tables import render

RESULTS = pathlib.Path(__file__).resolve().parent / "results/finetune.jsonl"
KEY = ("backend", "captioner", "case", "defence", "seed")


def main(arguments=None):
    args = parse_arguments(arguments)
    if args.cell:
        return run_one(args)
    if args.scores:
        return write_all_scores(args)
    if not args.table:
        run_missing(args)
    write_tables(pathlib.Path(args.results))


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset")
    parser.add_argument("--data")
    parser.add_argument("--cases", type=split, help="by default all")
    parser.add_argument("--defences", type=split, help="by default all")
    parser.add_argument("--seeds", type=split, default=["0", "1", "2"])
    parser.add_argument("--jobs", type=int, help="at a time; by default cores")
    parser.add_argument("--results", default=str(RESULTS))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--limit", type=int, help="pictures of each part")
    parser.add_argument("--scores", help="folder for token scores")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if not args.table and not (args.preset and args.data):
        parser.error("--preset and --data are needed, but for --table")
    return args


def split(text):
    return [part.strip() for part in text.split(",")]


def read_results(path):
    """Reads the kept results, a list of dicts; of equal cells the last."""
    path = pathlib.Path(path)
    if not path.exists():
        return []
    results = map(json.loads, path.read_text().splitlines())
    return list({key_of(result): result for result in results}.values())


def key_of(result):
    return tuple(result[name] for name in KEY)


def run_missing(args):
    """Runs each cell that has no result, on a core of its own."""
    cores = queue.Queue()
    for core in sorted(os.sched_getaffinity(0))[: args.jobs]:
        cores.put(core)
    with concurrent.futures.ThreadPoolExecutor(cores.qsize()) as pool:
        runs = [pool.submit(spawn, cell, cores, args) for cell in missing(args)]
        for run in runs:
            run.result()


def missing(args):
    """Lists cells without a result, triples of strings, by seed first."""
    import keras

    from real_pictures.cells import (
        CASES,
        DEFENCES,
        captioner_name,
        is_meaningful,
    )

    cases = checked("--cases", args.cases, CASES)
    defences = checked("--defences", args.defences, DEFENCES)
    known = {key_of(result) for result in read_results(args.results)}
    place = keras.config.backend(), captioner_name(args.preset)
    return [
        (case, defence, seed)
        for seed, case, defence in itertools.product(
            args.seeds, cases, defences
        )
        if is_meaningful(case, defence)
        and (*place, case, defence, int(seed)) not in known
    ]


def checked(option, chosen, known):
    """Returns the chosen names, by default all, or refuses unknown ones."""
    unknown = [name for name in chosen or () if name not in known]
    if unknown:
        raise ValueError(
            f"`{option}` must be among {', '.join(known)}. "
            f"Received: {', '.join(unknown)}"
        )
    return chosen or list(known)


def spawn(cell, cores, args):
    """Runs a cell on a free core and keeps its last line."""
    core = cores.get()
    cache = pathlib.Path(tempfile.gettempdir()) / "jax_programs"
    process = subprocess.run(
        [sys.executable, __file__, *passed_on(args), "--cell", *cell],
        capture_output=True,
        text=True,
        env={
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    cores.put(core)
    if process.returncode:
        status = f"failed with {process.returncode}:"  # negative: a signal
        print(*cell, status, process.stderr[-2000:], flush=True)
        return
    line = process.stdout.splitlines()[-1]
    path = pathlib.Path(args.results)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(line + "\n")
    print(line[:300], flush=True)
    write_tables(path)


def passed_on(args):
    """Returns the options that a cell's own process is given."""
    options = ["--preset", args.preset, "--data", args.data]
    options += ["--epochs", str(args.epochs)]
    return options + (["--limit", str(args.limit)] if args.limit else [])


def run_one(args):
    """Runs one cell, and prints its figures as JSON."""
    import keras

    from real_pictures.cells import captioner_name, run_cell

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
    place = keras.config.backend(), captioner_name(args.preset)
    key = dict(zip(KEY, (*place, case, defence, int(seed))))
    print(json.dumps({**key, **figures}))


def write_all_scores(args):
    """Writes the token scores of each case and seed, and prints the paths."""
    from real_pictures.cells import CASES, write_scores

    for seed in args.seeds:
        for case in checked("--cases", args.cases, CASES):
            path = write_scores(
                case, int(seed), args.preset, args.data, args.scores, args.limit
            )
            print(path, flush=True)


def write_tables(path):
    """Writes the tables of all results beside their file."""
    path.with_suffix(".md").write_text(render(read_results(path)))


if __name__ == "__main__":
    main()
