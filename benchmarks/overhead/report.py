"""Renders the results of the overhead benchmark as Markdown."""

import json
import pathlib
import statistics

from overhead.figures import PARTS
from overhead.plan import BARS, is_met


def render(record):
    """Renders the tables of one result, in Markdown."""
    machine = ", ".join(f"{k} {v}" for k, v in record["machine"].items())
    settings = ", ".join(f"{k} {v}" for k, v in record["settings"].items())
    title = f"## {record['size']}, {record['backend']}"
    late = record["recompilations"]
    late = "not counted, nothing is compiled" if late is None else late
    return "\n".join(
        [
            f"{title}\n\n{machine}\n\n{settings}\n",
            *ratio_lines(record),
            f"\nRecompilations: {late}\n",
            *arm_lines(record),
            "",
        ]
    )


def ratio_lines(record):
    """Renders a row for each measure, a list of strings."""
    lines = [
        "| measure | ratio | spread | with compilation | bar | |",
        "|---|---|---|---|---|---|",
    ]
    for name, ratio in record["ratios"].items():
        low, high = record["spread"].get(name, (None, None))
        spread = "-" if low is None else f"{low:.3f}–{high:.3f}"
        bar = BARS[name]
        cells = [
            name,
            shown(ratio, 3),
            spread,
            shown(record["ratios_with_compilation"].get(name), 3),
            shown(bar, 2),
            "" if bar is None else ("✓" if is_met(name, ratio) else "missed"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def arm_lines(record):
    """Renders a row for each arm, a list of strings."""
    lines = [
        "| arm, examples | seconds | with compilation | score | train | "
        "regenerate | data | other | examples/s | held out | peak MiB |",
        "|" + "---|" * 11,
    ]
    for arm in record["arms"]:
        seconds = arm["seconds"]
        cells = [
            arm["arm"],
            f"{statistics.median(seconds):.1f} "
            f"({min(seconds):.1f}–{max(seconds):.1f})",
            shown(arm["seconds_with_compilation"], 1),
            *(shown(arm["split"][name], 1) for name in PARTS),
            shown(arm["examples_per_second"], 1),
            shown(arm.get("num_held_out"), 0),
            shown(arm["peak_memory"] / 2**20, 0),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for arm in record["arms"]:
        # The rate of a shared CPU changes from one moment to the next.
        if "share_of_matrix_rate" in arm and arm["memory_kind"] == "device":
            lines.append(
                f"\n{arm['arm']} trains at {arm['share_of_matrix_rate']:.2f} "
                f"of the rate of large matrix products, "
                f"{arm['matrix_rate'] / 1e9:,.0f} GFLOP/s, counted as "
                "KerasHub's plain way would need it."
            )
    return lines


def shown(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def append(path, record):
    """Adds a result to a JSONL file and writes the tables beside it."""
    path = pathlib.Path(path)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
    write_table(path)


def write_table(path):
    """Writes the tables of a JSONL file beside it, in Markdown."""
    path = pathlib.Path(path)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    tables = "\n".join(render(record) for record in records)
    table = path.with_suffix(".md")
    table.write_text(
        "# What the defence costs\n\n"
        "Made by `python benchmarks/overhead/measure.py`, which tells what "
        "is measured; below 1 is cheaper than KerasHub's own `fit`. On a CPU "
        "the peak of memory is what was resident, compiled programs with it, "
        "of which the defence has several times as many: PyTorch, which "
        "compiles none, shows what the arrays take.\n\n"
        f"{tables}"
    )
    print(table)
