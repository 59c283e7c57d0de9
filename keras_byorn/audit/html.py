"""The audit as one HTML page, safe with text that an attacker wrote.

Three things keep untrusted text harmless: Jinja2 escapes all of it in the
document, and JSON in the data; no style and no script that runs holds any of
it, and the script makes nothing but text of the data; and the page's own
content security policy lets nothing run or load but that one script and
style, known by their hashes.

The rows are data in the page, of which its script shows a few at a time: a
browser reads a hundred thousand rows of data in seconds, but not as a table.
"""

import base64
import hashlib

import numpy as np

from keras_byorn.audit import html_numbers, html_text, plots
from keras_byorn.audit.html_chart import histogram_chart
from keras_byorn.audit.html_numbers import SURPRISE_STEPS
from keras_byorn.audit.html_table import Records, encoded_json, row_blocks
from keras_byorn.audit.html_text import pieces
from keras_byorn.audit.table import is_trained

NUM_KEPT = 12
NUM_PLAIN = 50  # suspects shown without the script; rows a page with it


def render(table, summary, examples, notes, max_rows, max_images):
    """Renders the page, piece by piece.

    Args:
        table: `pyarrow.Table` from `build_table()`.
        summary: dict from `summarize()`.
        examples: `Examples`. Reads only the images that are shown, each when
            its piece is written.
        notes: dict from string to string or number.
        max_rows: integer, at least 1, or `None`. Most rows in the page.
        max_images: integer, at least 0, or `None`. Most rows with images.

    Returns:
        Iterator of strings, the HTML document.

    Raises:
        ValueError: If `max_rows` or `max_images` is not such an integer.
    """
    _check_most("max_rows", max_rows, 1, "rows")
    _check_most("max_images", max_images, 0, "images")
    num_suspect = summary["num_held_out"]
    num_rows = min(len(table), len(table) if max_rows is None else max_rows)
    max_images = num_rows if max_images is None else max_images
    kept = _kept_next_to_suspects(table)
    rows = np.concatenate([_suspects_in_order(table), kept])[:num_rows]
    plain = rows[: min(num_suspect, NUM_PLAIN)]
    groups = sorted(set(table["group"].unique().to_pylist()))
    scorers = [name for name, _ in table["scores"][0].as_py()]
    records = Records(table, examples, groups, scorers)
    histogram = plots.score_histogram(table)
    values = dict(
        summary=summary,
        notes=notes,
        is_trained=is_trained(table),
        plain=records(plain, len(plain)),
        num_plain=len(plain),
        kept=records(kept[:NUM_KEPT], NUM_KEPT),
        facts=_facts(table, groups, scorers),
        # The rows of the plain table have their images there.
        blocks=row_blocks(records, rows, range(len(plain), max_images)),
        num_rows=num_rows,
        num_images=min(num_rows, max(max_images, len(plain))),
        num_suspects_left_out=max(0, num_suspect - num_rows),
        num_kept_left_out=len(table) - max(num_rows, num_suspect),
        groups=groups,
        scorers=["plausibility", *scorers],
        chart=None if histogram is None else histogram_chart(histogram),
        has_tokens=table["tokens"].null_count < len(table),
        axis_label=plots.AXIS_LABEL,
        surprise_steps=SURPRISE_STEPS,
    )
    return _environment().get_template("audit.html.jinja").generate(values)


def csp_hash(source):
    """Returns the name of an inline script in a content security policy.

    Args:
        source: string, the text of a script or a style.

    Returns:
        string, with its SHA-256 in base64.

    Reference:
        - [W3C, Content Security Policy](https://www.w3.org/TR/CSP3/)
    """
    digest = hashlib.sha256(str(source).encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _facts(table, groups, scorers):
    """Returns the facts that the script needs beside the rows, as JSON."""
    return encoded_json(
        {
            "groups": list(map(pieces, groups)),
            "scorers": list(map(pieces, ["plausibility", *scorers])),
            "rowsPerPage": NUM_PLAIN,
            "steps": SURPRISE_STEPS,
            "isTrained": is_trained(table),
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


def _environment():
    """Makes the Jinja2 environment, which escapes all that it prints."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_byorn.audit", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        html_numbers.count,
        html_numbers.percent,
        html_numbers.score,
        html_numbers.mean,
        html_numbers.standing,
        html_numbers.surprise_view,
        html_text.ink,
        html_text.plain,
        html_text.untrusted,
        csp_hash,
    )
    for function in filters:
        environment.filters[function.__name__] = function
    return environment


def _suspects_in_order(table):
    """Returns the indices of suspects, the least plausible first."""
    order = np.argsort(table["plausibility"].to_numpy(), kind="stable")
    return order[table["is_suspect"].to_numpy()[order]]


def _kept_next_to_suspects(table):
    """Returns the indices of kept examples, the likeliest suspects first."""
    probability = table["suspect_probability"].to_numpy()
    order = np.lexsort((table["plausibility"].to_numpy(), -probability))
    return order[~table["is_suspect"].to_numpy()[order]]
