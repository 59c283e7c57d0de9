# ruff: noqa: E402
"""Compares scorers, thresholds and defences over attacks and clean data.

    python benchmarks/detectors/compare_detectors.py                  # what is missing
    python benchmarks/detectors/compare_detectors.py --table          # only the tables
    python benchmarks/detectors/compare_detectors.py --long-preset LONG --cases insertion_64
    KERAS_BACKEND=torch python benchmarks/detectors/compare_detectors.py --seeds 10 \\
        --defenses none,byorn --detector-seeds none       # on another backend

About three minutes a case and seed on one CPU core, as many at a time as there
are cores. Figures are kept as they come in
`examples/results/detectors.jsonl`, so that a run that was stopped goes on; the
tables are `detectors.parquet` and `detectors.md` beside it.

Insertions into long responses need a reference that reads long scenes; see
`pretrain_tiny_vlm.py` for how to make one.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "detectors.jsonl"
SEEDS = "10,11,12,13,14"
BUDGET = 0.05
# Others are a spot check, and have tables of their own.
GRID_BACKEND = "jax"

FIXED = ("patch", "blended", "text", "dual_key")
LENGTHS = (8, 16, 32, 64)


def poisoned(attack, rate, *more):
    return ["--attack", attack, "--poison-rate", str(rate), *more]


# A case is the arguments of the demo that make its data.
CASES = {
    **{
        f"{attack} {100 * rate:g} %": poisoned(attack, rate)
        for attack in FIXED
        for rate in (0.005, 0.1, 0.5)
    },
    "refusal": poisoned("refusal", 0.1),
    "concept": poisoned("concept", 0.1),
    "insertion": poisoned("insertion", 0.04),
    "slogan": poisoned("slogan", 0.04),
    "plausible": poisoned("plausible", 0.1),
    "sig": poisoned("sig", 0.1),
    "optimised, string": poisoned("optimised", 0.1),
    "optimised, refusal, 48/255": poisoned(
        "optimised_refusal", 0.1, "--epsilon", str(48 / 255)
    ),
    "patch+concept": poisoned("patch+concept", 0.1),
    "refusal+text": poisoned("refusal+text", 0.1),
    **{
        f"clean {task}": poisoned("patch", 0, "--task", task)
        for task in ("terse_captions", "yes_no", "letters", "foreign_captions")
    },
    **{
        f"insertion_{length}": poisoned(
            "insertion", 0.04, "--task", f"long_captions_{length}"
        )
        for length in LENGTHS
    },
}


def main():
    args = parse_arguments()
    if args.job:
        return run_job(*args.job, args)
    if not args.table:
        run_missing(args)
    write_tables(read_results())


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


def read_results():
    """One result for each backend, case and seed, of all that was run for it.

    Returns:
        A list of dicts.
    """
    results = {}
    if RESULTS.exists():
        for line in RESULTS.read_text().splitlines():
            new = json.loads(line)
            key = new["backend"], new["case"], new["seed"]
            known = results.setdefault(key, new)
            for kind in ("detectors", "defenses"):
                known[kind].update(new[kind])
    return list(results.values())


def run_missing(args):
    """Each case and seed in a process of its own, on a core of its own."""
    import keras

    backend = keras.config.backend()
    known = {
        (result["case"], result["seed"]): result
        for result in read_results()
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
    """What is to run yet of a case and seed, as arguments; none if nothing."""
    result = result or {"detectors": {}, "defenses": {}}
    defenses = [
        name
        for name in args.defenses.split(",")
        if name not in result["defenses"]
        and not is_long(case)  # of these only the detection is asked
        and not (name == "clean_only" and case.startswith("clean"))
    ]
    compare = is_long(case) or seed in args.detector_seeds.split(",")
    compare &= not result["detectors"]
    if not defenses and not compare:
        return []
    seeds = seed if compare else "none"
    return ["--defenses", ",".join(defenses), "--detector-seeds", seeds]


def spawn(job, cores):
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


def is_long(case):
    return case in {f"insertion_{length}" for length in LENGTHS}


# One case and seed.


def run_job(case, seed, args):
    import defend_digit_scenes as demo
    import keras

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
            chosen_scorers = make_scorers(one_pass=is_long(case))
            result["detectors"] = compare(
                train, poisoned_ids, chosen_scorers, options
            )
        for name in filter(None, args.defenses.split(",")):
            figures, _ = demo.run_defence(
                name, train, test, chosen, poisoned_ids, options
            )
            result["defenses"][name] = figures
    print(json.dumps(result))


def compare(train, poisoned_ids, chosen_scorers, options):
    """Every scorer and threshold on the same evidence of the reference."""
    import keras_hub

    import keras_byorn
    from keras_byorn.detection.dataset_scores import Evidence
    from keras_byorn.training.regeneration import sampled_responses

    vlm = keras_hub.models.PaliGemmaCausalLM.from_preset(options.preset)
    batches = keras_byorn.TargetBatches(train, vlm, batch_size=256)
    evidence = Evidence(
        keras_byorn.FrozenReference.of(vlm),
        batches,
        sample=lambda count, seed: sampled_responses(batches, count, seed, 256),
    )
    results = {}
    for scorer in chosen_scorers:
        scores = plausibility_of(scorer, evidence)
        name = repr(scorer)
        results[name] = ranking(train, scores, poisoned_ids)
        for threshold in (
            keras_byorn.MixtureThreshold(),
            keras_byorn.FlagFraction(0.4),
        ):
            results[name][repr(threshold)] = decision(
                threshold, train, scores, poisoned_ids, options.seed
            )
    return results


def make_scorers(one_pass):
    """All scorers, or those that one pass of the reference is enough for."""
    from keras_byorn.plausibility import scorers, views
    from keras_byorn.training.callback import default_scorer

    singles = [
        scorers.MeanLogLikelihood(),
        scorers.Regret(),
        scorers.WorstSpan(4),
        scorers.WorstSpan(4, scorers.Regret()),
        scorers.PointwiseMutualInformation(),
        scorers.PointwiseMutualInformation(views.ShuffledImage()),
        scorers.PointwiseMutualInformation(views.NoPrompt()),
        scorers.ViewConsistency(),
        scorers.SelfAgreement(),
        scorers.Duplication(),
    ]
    mean, regret, _, span, blank, _, _, consistency, _, repeated = singles
    if one_pass:
        return [*singles[:4], default_scorer()]
    return [
        *singles,
        default_scorer(),
        scorers.Ensemble([regret, span, repeated]),
        scorers.Ensemble([mean, span, blank, repeated]),
        scorers.Ensemble([regret, span, blank, repeated]),
        scorers.Ensemble([regret, span, repeated, consistency]),
    ]


def plausibility_of(scorer, evidence):
    from keras import ops

    return ops.convert_to_numpy(scorer.fit(evidence)(evidence))


def ranking(train, scores, poisoned_ids):
    from keras_byorn import evaluation

    figures = evaluation.detection(
        train.example_ids, scores, scores < scores.min(), poisoned_ids, BUDGET
    )
    names = ("auroc", "average_precision", "recall_at_budget")
    return {name: figures[name] for name in names}


def decision(threshold, train, scores, poisoned_ids, seed):
    from keras_byorn import evaluation

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no suspects is a figure here
        threshold.fit(scores, example_ids=train.example_ids, seed=seed)
    figures = evaluation.detection(
        train.example_ids,
        scores,
        threshold.suspect_probability_of(scores),
        poisoned_ids,
    )
    names = ("recall", "precision", "flagged_fraction")
    return {
        **{name: figures[name] for name in names},
        "reason": threshold.reason,
    }


# The tables.


def write_tables(results):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(flat_rows(results))
    pq.write_table(pa.Table.from_pylist(rows), RESULTS.with_suffix(".parquet"))
    others = [r for r in results if r["backend"] != GRID_BACKEND]
    results = [r for r in results if r["backend"] == GRID_BACKEND]
    RESULTS.with_suffix(".md").write_text(
        "# Detectors and defences\n\n"
        "Made by `python benchmarks/detectors/compare_detectors.py`; every run is in "
        "`detectors.parquet`. Means over seeds, the worst seed in brackets.\n\n"
        f"## The defence as it comes\n\n{defence_table(results)}\n"
        "The ratio is that of exact match with BYORn and of the clean examples "
        "only, or undefended where there are none, in the same seed.\n\n"
        f"{tables_of_other_backends(others)}"
        f"## AUROC of each scorer, worst seed\n\n"
        f"{scorer_table(results, lambda d: d['auroc'], min)}\n"
        f"## Recall in the {BUDGET:.0%} least plausible, worst seed\n\n"
        f"{scorer_table(results, lambda d: d['recall_at_budget'], min)}\n"
        "## Share flagged by the mixture, most in a seed\n\n"
        + scorer_table(results, flagged_by_mixture, max)
        + "\n## Recall by the mixture, worst seed\n\n"
        + scorer_table(results, recall_by_mixture, min)
    )


def tables_of_other_backends(results):
    """Markdown: a section for each backend that the grid is not on."""
    backends = sorted({result["backend"] for result in results})
    return "".join(
        f"## The same on {backend}\n\n"
        + defence_table([r for r in results if r["backend"] == backend])
        + "\n"
        for backend in backends
    )


def flat_rows(results):
    """One row for each figure: case, seed, who, what, value."""
    for result in results:
        key = {name: result[name] for name in ("case", "seed", "backend")}
        for kind in ("detectors", "defenses"):
            for who, figures in result[kind].items():
                for what, value in flat(figures):
                    yield {**key, "who": who, "what": what, "value": value}


def flat(figures, prefix=""):
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name} ")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{name}", float(value)


def by_mixture(figures):
    return next(v for k, v in figures.items() if k.startswith("Mixture"))


def flagged_by_mixture(figures):
    return by_mixture(figures)["flagged_fraction"]


def recall_by_mixture(figures):
    return by_mixture(figures)["recall"]


def scorer_table(results, figure, worst):
    """Markdown: a row for each scorer, a column for each case."""
    compared = {r["case"] for r in results if r["detectors"]}
    cases = [case for case in CASES if case in compared]
    names = list(dict.fromkeys(n for r in results for n in r["detectors"]))
    seeds = [
        sum(bool(r["detectors"]) for r in results if r["case"] == case)
        for case in cases
    ]
    lines = [
        "| scorer | " + " | ".join(cases) + " |",
        "|---|" + "---|" * len(cases),
        "| seeds | " + " | ".join(map(str, seeds)) + " |",
    ]
    for name in names:
        cells = []
        for case in cases:
            values = [
                figure(r["detectors"][name])
                for r in results
                if r["case"] == case and name in r["detectors"]
            ]
            values = [value for value in values if value is not None]
            cells.append(f"{worst(values):.3f}" if values else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def defence_table(results):
    """Markdown: a row for each case."""
    lines = [
        "| case | seeds | attack success, undefended | BYORn | exact match, "
        "undefended | clean examples only | BYORn | ratio | flagged | recall | "
        "AUROC | restored | alarms |",
        "|---|" + "---|" * 12,
    ]
    for case in CASES:
        rows = [r["defenses"] for r in results if r["case"] == case]
        rows = [row for row in rows if "byorn" in row]
        if rows:
            lines.append(defence_row(case, rows))
    return "\n".join(lines) + "\n"


def defence_row(case, rows):
    def values(defence, figure):
        found = [r[defence][figure] for r in rows if defence in r]
        return [value for value in found if value is not None]

    def cell(defence, figure, worst):
        found = values(defence, figure)
        if not found:
            return "-"
        return f"{statistics.mean(found):.3f} ({worst(found):.3f})"

    success, match = "attack_success_rate", "clean_exact_match"
    ratios = [
        row["byorn"][match] / of[match]
        for row in rows
        if (of := row.get("clean_only") or row.get("none"))
    ]
    if ratios:
        ratio = f"{statistics.mean(ratios):.3f} ({min(ratios):.3f})"
    is_clean = not values("byorn", "recall")
    cells = [
        case,
        len(rows),
        "-" if is_clean else cell("none", success, max),
        "-" if is_clean else cell("byorn", success, max),
        cell("none", match, min),
        cell("clean_only", match, min),
        cell("byorn", match, min),
        ratio if ratios else "-",
        cell("byorn", "flagged_fraction", max),
        cell("byorn", "recall", min),
        cell("byorn", "detection_auroc", min),
        cell("byorn", "num_restored", max),
        cell("byorn", "num_alarms", max),
    ]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
