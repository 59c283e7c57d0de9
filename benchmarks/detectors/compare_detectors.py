# ruff: noqa: E402
"""Compares scorers, decisions and defences over attacks and clean data.

    COMPARE=benchmarks/detectors/compare_detectors.py
    python $COMPARE                                       # what is missing
    python $COMPARE --table                               # only the tables
    python $COMPARE --long-preset LONG --cases insertion_64
    KERAS_BACKEND=torch python $COMPARE --seeds 10 \\
        --defenses none,byorn --detector-seeds none       # on another backend

About three minutes a case and seed on one CPU core, as many at a time as there
are cores. Figures are kept as they come in `results/detectors.jsonl`, so that
a run that was stopped goes on; the tables are `detectors.parquet` and
`detectors.md` beside it. By default a patch on 10 % should give an attack
success of 0.000 with BYORn, 0.999 without.

Insertions into long responses need a reference that reads long scenes; see
`examples/pretrain_tiny_vlm.py` for how to make one.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import queue
import subprocess
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from detectors.cases import CASES, SEEDS, is_long
from detectors.tables import write_tables

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
RESULTS = HERE / "results" / "detectors.jsonl"


def main():
    args = parse_arguments()
    if args.job:
        return run_job(*args.job, args)
    if not args.table:
        run_missing(args)
    write_tables(read_results(RESULTS), RESULTS)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--cases", default=";".join(CASES), help="split by ;")
    parser.add_argument("--seeds", default=SEEDS)
    parser.add_argument(
        "--detector-seeds", default=SEEDS, help="for the scorers' tables"
    )
    parser.add_argument("--defenses", default="none,clean_only,byorn")
    parser.add_argument("--long-preset", help="for insertions by length")
    parser.add_argument("--jobs", type=int, help="at a time")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def read_results(path):
    """Reads one result for each backend, case and seed.

    Lines of one case, which hold defences that were run later, join.

    Args:
        path: path of a JSONL file, which may be missing.

    Returns:
        A list of dicts.
    """
    results = {}
    if path.exists():
        for line in path.read_text().splitlines():
            new = json.loads(line)
            key = new["backend"], new["case"], new["seed"]
            known = results.setdefault(key, new)
            for kind in ("detectors", "defenses"):
                known[kind].update(new[kind])
    return list(results.values())


def run_missing(args):
    """Runs each case and seed in a process and on a core of its own."""
    import keras

    backend = keras.config.backend()
    known = {
        (result["case"], result["seed"]): result
        for result in read_results(RESULTS)
        if result["backend"] == backend
    }
    jobs = []
    for seed in args.seeds.split(","):
        for case in args.cases.split(";"):
            result = known.get((case, int(seed)))
            job = missing_arguments(case, seed, result, args)
            if job and (args.long_preset or not is_long(case)):
                jobs.append(["--job", case, seed, *job])
    cores = queue.Queue()
    for core in sorted(os.sched_getaffinity(0))[: args.jobs]:
        cores.put(core)
    with concurrent.futures.ThreadPoolExecutor(cores.qsize()) as pool:
        for future in [pool.submit(spawn, job, cores) for job in jobs]:
            future.result()


def missing_arguments(case, seed, result, args):
    """Returns arguments for the missing runs of a case and seed.

    Args:
        case: string, a key of `CASES`.
        seed: string.
        result: dict, the known result, or `None`.
        args: the options of this script.

    Returns:
        A list of strings, empty if nothing is missing.
    """
    result = result or {"detectors": {}, "defenses": {}}
    defenses = [
        name
        for name in args.defenses.split(",")
        if name not in result["defenses"]
        and not is_long(case)  # long cases are about detection only
        and not (name == "clean_only" and case.startswith("clean"))
    ]
    compare = is_long(case) or seed in args.detector_seeds.split(",")
    compare &= not result["detectors"]
    if not defenses and not compare:
        return []
    seeds = seed if compare else "none"
    return ["--defenses", ",".join(defenses), "--detector-seeds", seeds]


def spawn(job, cores):
    """Runs a job on a free core and keeps its last line."""
    core = cores.get()
    process = subprocess.run(
        [sys.executable, *sys.argv, *job],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    cores.put(core)
    if process.returncode:
        print(*job, "failed:", process.stderr[-2000:], flush=True)
        return
    line = process.stdout.splitlines()[-1]
    with RESULTS.open("a") as file:
        file.write(line + "\n")
    print(line[:300], flush=True)


def run_job(case, seed, args):
    """Runs one case and seed, and prints its figures as JSON."""
    sys.path.append(str(EXAMPLES))
    import defend_digit_scenes as demo
    import keras

    from detectors import scoring

    arguments = [*CASES[case], "--seed", seed]
    if is_long(case):
        arguments += ["--preset", args.long_preset]
    options = demo.parse_arguments(arguments)
    with contextlib.redirect_stdout(sys.stderr):
        clean, test = demo.load_examples(options)
        chosen = demo.load_attacks(options.attack, clean, options)
        train, poisoned_ids = demo.poison(clean, chosen.values(), options)
        result = {
            "case": case,
            "seed": int(seed),
            "backend": keras.config.backend(),
            "detectors": {},
            "defenses": {},
        }
        if seed in args.detector_seeds.split(","):
            result["detectors"] = scoring.compare(
                train,
                poisoned_ids,
                scoring.make_scorers(one_pass=is_long(case)),
                options.preset,
                options.seed,
            )
        for name in filter(None, args.defenses.split(",")):
            figures, _ = demo.run_defence(
                name, train, test, chosen, poisoned_ids, options
            )
            result["defenses"][name] = figures
    print(json.dumps(result))


if __name__ == "__main__":
    main()
