"""Results of the table: one line a cell, and tables of them in Markdown."""

import json
import statistics

from table import bars
from table.cases import CASES

DEFENCES = ("none", "clean_only", "ours", "ours_trusted", "paper")

# Title, place in a result, and the worst of the seeds. A table whose cases have
# no value leaves the column out.
COLUMNS = (
    ("attack success", ("attack_success_rate",), max),
    ("false triggers", ("false_trigger_rate",), max),
    ("exact match", ("exact_match",), min),
    ("minority exact match", ("minority_exact_match",), min),
    ("AUROC", ("auroc",), min),
    ("recall, start", ("start", "recall"), min),
    ("recall, end", ("end", "recall"), min),
    ("flagged, start", ("start", "flagged"), max),
    ("flagged, end", ("end", "flagged"), max),
    ("poison restored", ("num_poison_restored",), max),
    ("clean suspects, end", ("num_clean_suspect",), max),
    ("clean overwritten", ("num_clean_overwritten",), max),
    ("minority overwritten", ("num_minority_overwritten",), max),
)
GRID_BACKEND = "jax"


def key_of(line):
    """Returns case, seed, defence and backend of a result."""
    return line["case"], line["seed"], line["defence"], line["backend"]


def read_cells(path):
    """Reads the last result of each case, seed, defence and backend.

    Args:
        path: path of a JSONL file, which may be missing.

    Returns:
        A list of dicts.
    """
    if not path.exists():
        return []
    lines = map(json.loads, path.read_text().splitlines())
    return list({key_of(line): line for line in lines}.values())


def write_tables(cells, path):
    """Writes the tables beside the file of the results.

    Args:
        cells: list of dicts, see `read_cells`.
        path: path of the JSONL file of the results.
    """
    backends = sorted(
        {cell["backend"] for cell in cells},
        key=lambda b: (b != GRID_BACKEND, b),
    )
    sections = [
        tables_of_backend(
            [c for c in cells if c["backend"] == backend], backend
        )
        for backend in backends
    ]
    path.with_suffix(".md").write_text(
        "# Defences on Digit Scenes\n\n"
        "Made by `python benchmarks/table/run_digits.py`; every cell is in "
        "`digits.jsonl`. Means over seeds, the worst seed in brackets.\n\n"
        "The bars: in every seed, attack success at most "
        f"{bars.MAX_SUCCESS['attacks']:g} beyond that of a model that saw no "
        f"poison, {bars.MAX_SUCCESS['own prompt']:g} with own prompts and "
        f"floods, {bars.MAX_SUCCESS_OF_OTHERS:g} where the lie is nearly true; "
        f"exact match at least {bars.MIN_UTILITY:g} of that of the clean "
        f"examples alone, {bars.MIN_UTILITY_BESIDE_NOISE:g} beside label "
        "noise; on a minority with trusted examples, at least "
        f"{bars.MIN_MINORITY:g} of the undefended one. From half adversarial "
        "examples on, a refusal is right where nobody is trusted.\n\n"
        + "\n".join(sections)
    )


def tables_of_backend(cells, backend):
    """Renders a table for each group of cases."""
    comparisons = Comparisons(cells)
    lines = []
    for group in dict.fromkeys(cell["group"] for cell in cells):
        chosen = [cell for cell in cells if cell["group"] == group]
        lines += [f"## {group.capitalize()}, on {backend}\n"]
        lines += [group_table(chosen, comparisons), ""]
    return "\n".join(lines)


def group_table(cells, comparisons):
    """Renders a row for each case and defence."""
    columns = [column for column in COLUMNS if is_shown(column, cells)]
    titles = ["case", "defence", "seeds", *(c[0] for c in columns), "refused"]
    lines = [
        f"| {' | '.join([*titles, 'bars'])} |",
        "|---" * (len(titles) + 1) + "|",
    ]
    pairs = {(cell["case"], cell["defence"]) for cell in cells}
    for case, defence in sorted(pairs, key=order_of):
        rows = [
            c for c in cells if (c["case"], c["defence"]) == (case, defence)
        ]
        shown = [
            case,
            defence,
            str(len(rows)),
            *(mean_and_worst(values(rows, c[1]), c[2]) for c in columns),
            str(sum("refused" in row for row in rows)),
            verdict(rows, comparisons),
        ]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def order_of(pair):
    """Returns the place of a case and defence in a table.

    Args:
        pair: tuple of two strings. Cases that are gone come last.
    """
    case, defence = pair
    names = list(CASES)
    place = names.index(case) if case in CASES else len(names)
    return place, case, (*DEFENCES, defence).index(defence)


def is_shown(column, cells):
    """Returns whether a table has a column: counts only where they count."""
    found = values(cells, column[1])
    is_count = column[1][0].startswith("num_")
    return any(found) if is_count else bool(found)


def values(cells, figure):
    """Returns a figure of all cells that have it."""
    found = []
    for cell in cells:
        value = cell
        for name in figure:
            value = (value or {}).get(name)
        if value is not None:
            found.append(value)
    return found


def mean_and_worst(found, worst):
    """Renders numbers as their mean and, in brackets, their worst."""
    if not found:
        return "-"
    mean, extreme = statistics.mean(found), worst(found)
    if all(isinstance(value, int) for value in found):
        return f"{mean:.1f} ({extreme})"
    return f"{mean:.3f} ({extreme:.3f})"


def verdict(rows, comparisons):
    """Renders whether the seeds of a case and defence meet the bars."""
    if rows[0]["defence"] in ("none", "clean_only"):
        return "-"
    missed = [comparisons.unmet(row) for row in rows]
    names = sorted({name for bar in missed for name in bar or ()})
    if names:
        return f"missed: {', '.join(names)}"
    return "?" if None in missed else "met"


class Comparisons:
    """Finds the undefended and the clean result beside a cell.

    Args:
        cells: list of dicts, of one backend.
    """

    def __init__(self, cells):
        self._cells = {(c["case"], c["seed"], c["defence"]): c for c in cells}

    def unmet(self, cell):
        """Lists the bars that a cell misses, see `bars.unmet`."""
        undefended = self._beside(cell, "none")
        clean = self._beside(cell, "clean_only")
        is_honest = not cell["num_poisoned"] + cell["num_flood"]
        if is_honest:
            clean = undefended
        return bars.unmet(cell, clean, undefended)

    def _beside(self, cell, defence):
        return self._cells.get((cell["case"], cell["seed"], defence))
