"""Tables of the comparison, in Markdown and Parquet."""

import statistics

import pyarrow as pa
import pyarrow.parquet as pq

from detectors.cases import CASES, GRID_BACKEND

# Share of examples that a person would look through.
BUDGET = 0.05


def write_tables(results, path):
    """Writes the tables of all results beside their file.

    Args:
        results: list of dicts, see `read_results`.
        path: path of the JSONL file of the results.
    """
    rows = list(flat_rows(results))
    pq.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"))
    others = [r for r in results if r["backend"] != GRID_BACKEND]
    results = [r for r in results if r["backend"] == GRID_BACKEND]
    path.with_suffix(".md").write_text(
        "# Detectors and defences\n\n"
        "Made by `python benchmarks/detectors/compare_detectors.py`; every "
        "run is in `detectors.parquet`. Means over seeds, the worst seed in "
        "brackets.\n\n"
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
    """Renders a section for each backend that the grid is not on."""
    backends = sorted({result["backend"] for result in results})
    return "".join(
        f"## The same on {backend}\n\n"
        + defence_table([r for r in results if r["backend"] == backend])
        + "\n"
        for backend in backends
    )


def flat_rows(results):
    """Yields a row for each figure: case, seed, who, what, value."""
    for result in results:
        key = {name: result[name] for name in ("case", "seed", "backend")}
        for kind in ("detectors", "defenses"):
            for who, figures in result[kind].items():
                for what, value in flat(figures):
                    yield {**key, "who": who, "what": what, "value": value}


def flat(figures, prefix=""):
    """Yields names and numbers of nested figures."""
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
    """Renders a row for each scorer, a column for each case."""
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
    """Renders a row for each case."""
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
    """Renders the figures of the defences in one case."""

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
