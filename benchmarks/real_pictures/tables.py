"""Tables of the fine-tunes on real pictures, in Markdown."""

import statistics

OUTCOMES = {
    "attack success": ("attack_success_rate",),
    "target contained": ("containment_rate",),
    "false trigger": ("false_trigger_rate",),
    "CIDEr-D, clean": ("cider",),
    "CIDEr-D, triggered": ("triggered_cider",),
    "distinct": ("distinct",),
    "seconds": ("seconds",),
}
FLAGS = {
    "AUROC": ("auroc",),
    "held out, at first": ("first", "flagged"),
    "recall, at first": ("first", "recall"),
    "precision, at first": ("first", "precision"),
    "held out, at last": ("last", "flagged"),
    "recall, at last": ("last", "recall"),
    "precision, at last": ("last", "precision"),
}


def render(results):
    """Renders all results: the mean over seeds, and every seed.

    Args:
        results: list of dicts, see `finetune.py`.

    Returns:
        A string.
    """
    parts = [
        "# Fine-tunes on real pictures",
        "Made by `python benchmarks/real_pictures/finetune.py`. Means over "
        "seeds; in brackets each seed, in the order of the second column. "
        "CIDEr-D is in [0, 10]; `distinct` counts the different responses to "
        "the test pictures.",
    ]
    for place in unique((r["backend"], r["captioner"]) for r in results):
        here = [r for r in results if (r["backend"], r["captioner"]) == place]
        for case in unique(r["case"] for r in here):
            of_case = [r for r in here if r["case"] == case]
            parts.append(f"## {case} ({', '.join(reversed(place))})")
            parts.append(table(of_case, OUTCOMES))
            parts.append(table(of_case, FLAGS))
            parts.extend(refusals(of_case))
    return "\n\n".join(part for part in parts if part) + "\n"


def table(results, columns):
    """Renders a row for each defence that has a figure of these columns."""
    rows = []
    for defence in unique(r["defence"] for r in results):
        runs = [r for r in results if r["defence"] == defence]
        runs = sorted(runs, key=lambda run: run["seed"])
        cells = [cell([figure(r, p) for r in runs]) for p in columns.values()]
        if any(text != "-" for text in cells):
            seeds = " ".join(str(run["seed"]) for run in runs)
            rows.append([defence, seeds, *cells])
    if not rows:
        return ""
    lines = [["defence", "seeds", *columns], ["---"] * (2 + len(columns))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines + rows)


def cell(values):
    """Renders the mean of some figures, and each of them.

    Args:
        values: list of floats; `None` where a run has no such figure.
    """
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = shown(statistics.mean(known))
    if len(values) == 1:
        return mean
    return f"{mean} ({' '.join(map(shown, values))})"


def shown(value):
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 20 else f"{value:.0f}"


def figure(result, path):
    """Returns the figure at a path of names, or `None`."""
    for name in path:
        result = result.get(name)
        if result is None:
            return None
    return result


def refusals(results):
    """Renders a line for each run that a defence refused."""
    return [
        f"`{r['defence']}`, seed {r['seed']}, refused: {r['refused']}"
        for r in results
        if "refused" in r
    ]


def unique(values):
    return list(dict.fromkeys(values))
