"""Runs the demo for every attack, seed and backend, and makes the table.

    python benchmarks/demo_grid/run_demo_grid.py          # what is missing
    python benchmarks/demo_grid/run_demo_grid.py --table  # only the table

Results are kept as they come in `results/demo_grid.jsonl`, one line a run, so
that a grid that was stopped goes on where it was. About two minutes a run, two
runs at a time on two cores: about an hour for all 63. In every run of patch,
text, dual_key, blended and refusal the attack success should be 0.000 with
BYORn, and the exact match at least 0.97 of that without a defence.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parents[1] / "examples" / "defend_digit_scenes.py"
RESULTS = HERE / "results"
BACKENDS = ("jax", "tensorflow", "torch")
# The arguments of the demo in each case.
CASES = {
    "patch": ["--attack", "patch"],
    "text": ["--attack", "text"],
    "dual_key": ["--attack", "dual_key"],
    "blended": ["--attack", "blended"],
    "refusal": ["--attack", "refusal"],
    "concept, 40 % flagged": ["--attack", "concept", "--threshold", "0.4"],
    "no poison": ["--attack", "patch", "--poison-rate", "0"],
}


def main():
    args = parse_arguments()
    if not args.table:
        run_missing(args)
    table = render(read_results(args.name), args.name)
    (RESULTS / f"{args.name}.md").write_text(table)
    print(table)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--cases", default=";".join(CASES), help="split by ;")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--name", default="demo_grid", help="of the results")
    return parser.parse_args()


def read_results(name="demo_grid"):
    """Reads the results that were kept under a name, a list of dicts."""
    path = RESULTS / f"{name}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_missing(args):
    """Runs what is missing, as many at a time as there are cores."""
    done = {
        (r["case"], r["backend"], r["seed"]) for r in read_results(args.name)
    }
    wanted = itertools.product(
        args.seeds.split(","), args.cases.split(";"), args.backends.split(",")
    )
    missing = [
        (case, backend, int(seed))
        for seed, case, backend in wanted
        if (case, backend, int(seed)) not in done
    ]
    cores = queue.Queue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)
    with concurrent.futures.ThreadPoolExecutor(cores.qsize()) as pool:
        for future in [
            pool.submit(run, *row, cores, args.name) for row in missing
        ]:
            future.result()


def run(case, backend, seed, cores, name):
    """Runs the demo on a free core and keeps its last line."""
    core = cores.get()
    cache = pathlib.Path(tempfile.gettempdir()) / "jax_programs"
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(DEMO), *CASES[case]]
        process = subprocess.run(
            [*command, "--seed", str(seed), "--out", out],
            env=environment,
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    cores.put(core)
    if process.returncode:
        print(case, backend, seed, "failed:", process.stderr[-2000:])
        return
    result = {"case": case, **json.loads(process.stdout.splitlines()[-1])}
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(result) + "\n")
    print(json.dumps(result), flush=True)


def render(results, name="demo_grid"):
    """Renders the tables of all results, in Markdown."""
    seeds = ", ".join(map(str, sorted({r["seed"] for r in results})))
    option = "" if name == "demo_grid" else f" --name {name}"
    return (
        "# The demo, over attacks, seeds and backends\n\n"
        f"Made by `python benchmarks/demo_grid/run_demo_grid.py{option}`.\n\n"
        f"## Each attack\n\n{make_summary(results)}\n"
        "## Every run\n\n"
        f"Seeds {seeds} in order.\n\n{make_table(results)}"
    )


def make_summary(results):
    """Renders a row for each case, over all its seeds and backends."""
    lines = [
        "| case | runs | attack success, undefended | BYORn, worst run | exact "
        "match, undefended | BYORn | ratio | flagged | recall |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        rows = [r["defenses"] for r in results if r["case"] == case]
        if rows:
            lines.append(summary_row(case, rows))
    return "\n".join(lines) + "\n"


def summary_row(case, rows):
    """Renders the row of a case."""

    def values(defence, key):
        return [row[defence][key] for row in rows]

    undefended = values("none", "attack_success_rate")
    matches = [
        statistics.mean(values(defence, "clean_exact_match"))
        for defence in ("none", "byorn")
    ]
    recalls = [r for r in values("byorn", "recall") if r is not None]
    cells = [
        case,
        len(rows),
        f"{min(undefended):.3f}–{max(undefended):.3f}",
        f"{max(values('byorn', 'attack_success_rate')):.3f}",
        f"{matches[0]:.3f}",
        f"{matches[1]:.3f}",
        f"{matches[1] / matches[0]:.3f}",
        f"{statistics.mean(values('byorn', 'flagged_fraction')):.3f}",
        f"{min(recalls):.3f}" if recalls else "-",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def make_table(results):
    """Renders a row for each case and backend, every seed in a cell."""
    lines = [
        "| case | backend | attack success, undefended | BYORn | exact match, "
        "undefended | BYORn | ratio of means | flagged | recall | AUROC |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case, backend in itertools.product(CASES, BACKENDS):
        rows = [
            r["defenses"]
            for r in sorted(results, key=lambda r: r["seed"])
            if (r["case"], r["backend"]) == (case, backend)
        ]
        if rows:
            lines.append(table_row(case, backend, rows))
    return "\n".join(lines) + "\n"


def table_row(case, backend, rows):
    """Renders the row of a case and backend."""

    def cell(defence, key):
        values = [row[defence][key] for row in rows]
        return " ".join("-" if v is None else f"{v:.3f}" for v in values)

    def mean(defence):
        return statistics.mean(r[defence]["clean_exact_match"] for r in rows)

    cells = [
        case,
        backend,
        cell("none", "attack_success_rate"),
        cell("byorn", "attack_success_rate"),
        cell("none", "clean_exact_match"),
        cell("byorn", "clean_exact_match"),
        f"{mean('byorn') / mean('none'):.3f}",
        cell("byorn", "flagged_fraction"),
        cell("byorn", "recall"),
        cell("byorn", "detection_auroc"),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
