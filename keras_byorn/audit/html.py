"""The audit as one HTML page, safe with text that an attacker wrote.

Three things keep untrusted text harmless: Jinja2 escapes all of it in the
document, and JSON in the data; no style and no script that runs holds any of
it, and the script makes nothing but text of the data; and the page's own
content security policy lets nothing run or load but that one script and
style, known by their hashes.

The rows are data in the page, of which its script shows a few at a time: a
browser reads a hundred thousand rows of data in seconds, but not as a table.
"""

import math

import numpy as np

from keras_byorn.audit import plots
from keras_byorn.audit.html_chart import histogram_chart
from keras_byorn.audit.html_clusters import ClusterViews
from keras_byorn.audit.html_environment import make_environment
from keras_byorn.audit.html_numbers import SURPRISE_STEPS
from keras_byorn.audit.html_table import Records, encoded_json, row_blocks
from keras_byorn.audit.html_text import pieces
from keras_byorn.audit.table import ON_PROBATION, is_trained

NUM_KEPT = 12
NUM_PLAIN = 50  # held-out rows shown without the script; rows a page with it


def render(table, summary, examples, notes, max_rows, max_images, clusters=()):
    """Renders the page, piece by piece.

    Args:
        table: `pyarrow.Table` from `build_table()`.
        summary: dict from `summarize()`.
        examples: `Examples`. Reads only the images that are shown, each when
            its piece is written.
        notes: dict from string to string or number.
        max_rows: integer, at least 1, or `None`. Most rows in the page.
        max_images: integer, at least 0, or `None`. Most images in the page.
        clusters: sequence of `Cluster`. Defaults to none.

    Returns:
        Iterator of strings, the HTML document.

    Raises:
        ValueError: If `max_rows` or `max_images` is not such an integer.
    """
    _check_most("max_rows", max_rows, 1, "rows")
    _check_most("max_images", max_images, 0, "images")
    most = math.inf if max_images is None else max_images
    views = ClusterViews(clusters, table, examples, most)
    values = dict(
        summary=summary,
        notes=notes,
        is_trained=is_trained(table),
        clusters=views,
        axis_label=plots.AXIS_LABEL,
        surprise_steps=SURPRISE_STEPS,
        has_tokens=table["tokens"].null_count < len(table),
        **_row_values(table, examples, views, max_rows, most),
        **_charts(table),
    )
    return make_environment().get_template("audit.html.jinja").generate(values)


def _row_values(table, examples, views, max_rows, max_images):
    """Returns the values of the page that are of rows and their images."""
    num_rows = min(len(table), len(table) if max_rows is None else max_rows)
    # What the pictures of clusters leave.
    max_images = min(num_rows, max_images - views.num_pictures)
    held_out = _held_out_in_order(table)
    kept = _kept_next_to_suspects(table)
    rows = np.concatenate([held_out, kept])[:num_rows]
    plain = rows[: min(len(held_out), NUM_PLAIN)]
    groups = sorted(set(table["group"].unique().to_pylist()))
    scorers = [name for name, _ in table["scores"][0].as_py()]
    records = Records(table, examples, groups, scorers)
    return dict(
        plain=records(plain, len(plain)),
        num_plain=len(plain),
        kept=records(kept[:NUM_KEPT], NUM_KEPT),
        facts=_facts(table, groups, scorers, views),
        # The rows of the plain table have their images there.
        blocks=row_blocks(records, rows, range(len(plain), max_images)),
        num_rows=num_rows,
        num_images=min(num_rows, max(max_images, len(plain))),
        num_held_out_left_out=max(0, len(held_out) - num_rows),
        num_kept_left_out=len(table) - max(num_rows, len(held_out)),
        groups=groups,
        scorers=["plausibility", *scorers],
    )


def _charts(table):
    """Returns the histogram in a wide form and in one for a narrow screen."""
    histogram = plots.score_histogram(table)
    if histogram is None:
        return {"chart": None, "narrow_chart": None}
    return {
        "chart": histogram_chart(histogram),
        "narrow_chart": histogram_chart(histogram, 290, 170, gap=44),
    }


def _facts(table, groups, scorers, views):
    """Returns the facts that the script needs beside the rows, as JSON."""
    return encoded_json(
        {
            "groups": list(map(pieces, groups)),
            "scorers": list(map(pieces, ["plausibility", *scorers])),
            "rowsPerPage": NUM_PLAIN,
            "steps": SURPRISE_STEPS,
            "isTrained": is_trained(table),
            "clusters": views.facts(),
        }
    )


def _check_most(name, value, least, what):
    """Refuses a number of rows or images that is no count."""
    if value is None:
        return
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or value < least:
        raise ValueError(
            f"`{name}` is the number of {what} in the page and must be an "
            f"integer of at least {least}. To have all, pass `{name}=None`. "
            f"Received: {name}={value!r}"
        )


def _held_out_in_order(table):
    """Returns the indices of what is held out, in the order of the page.

    Suspects come before those that are only on probation, for there is
    evidence against them, and the least plausible first.
    """
    waits = table["verdict"].to_numpy() == ON_PROBATION
    order = np.lexsort((table["plausibility"].to_numpy(), waits))
    return order[table["is_held_out"].to_numpy()[order]]


def _kept_next_to_suspects(table):
    """Returns the indices of kept examples, the likeliest suspects first."""
    probability = table["suspect_probability"].to_numpy()
    order = np.lexsort((table["plausibility"].to_numpy(), -probability))
    return order[~table["is_held_out"].to_numpy()[order]]
