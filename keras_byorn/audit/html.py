"""The audit as one HTML page, safe with text that an attacker wrote.

Three things keep untrusted text harmless: Jinja2 escapes all of it, no
script or style holds any of it, and the page's own content security policy
lets nothing run or load but that one script and style, known by their hashes.
"""

import base64
import hashlib
import io
import math

import jinja2
import numpy as np
import PIL.Image
from markupsafe import Markup

from keras_byorn.audit import plots

MAX_CHARACTERS = 1000
MAX_TOKENS = 200
MAX_PIXELS = 160
MIN_PIXELS = 96
NUM_KEPT = 12

# The reference gave the token a chance below 1 in this.
SURPRISE_STEPS = (2, 10, 100, 1_000, 10_000)

# Characters that Python calls printable but that leave no ink.
BLANK_CHARACTERS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, range(0x180B, 0x1810)))
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)


def render(table, summary, examples, notes, max_rows):
    """Renders the page.

    Args:
        table: `pyarrow.Table` from `build_table()`.
        summary: dict from `summarize()`.
        examples: `Examples`. Only the images of the rows shown are read.
        notes: dict from string to string or number.
        max_rows: integer, at least 1, or `None`. Most suspects to show.

    Returns:
        string, the HTML document.

    Raises:
        ValueError: If `max_rows` is not a positive integer or `None`.
    """
    _check_max_rows(max_rows)
    suspects = _suspects_first_to_look_at(table)[:max_rows]
    kept = _kept_next_to_suspects(table)[:NUM_KEPT]
    histogram = plots.score_histogram(table)
    return (
        _environment()
        .get_template("audit.html.jinja")
        .render(
            summary=summary,
            notes=notes,
            suspects=_views(table, suspects, examples),
            kept=_views(table, kept, examples),
            chart=None if histogram is None else _chart(histogram),
            num_left_out=summary["num_suspect"] - len(suspects),
            has_tokens=table["tokens"].null_count < len(table),
            axis_label=plots.AXIS_LABEL,
            surprise_steps=SURPRISE_STEPS,
        )
    )


def count(number):
    """Formats a count: `12,345`."""
    return f"{number:,}"


def percent(fraction):
    """Formats a share in [0, 1]: `10.2%`."""
    return f"{fraction:.1%}"


def score(number):
    """Formats nats per token: `−7.31`, or `not scored` for NaN."""
    if math.isnan(number):
        return "not scored"
    return f"{number:.2f}".replace("-", "−").replace("inf", "∞")


def mean(number):
    """Formats a mean of scores, or a dash for `None`, a mean of nothing."""
    return "–" if number is None else score(number)


def chance(surprise):
    """Puts a surprise in nats as a chance: `1 in 1,495`."""
    if surprise > 30:
        return "less than 1 in 10,000,000,000,000"
    odds = math.exp(surprise)
    return f"1 in {odds:.1f}" if odds < 10 else f"1 in {odds:,.0f}"


def untrusted(text):
    """Makes text safe to show: escaped, cut, with nothing invisible in it.

    Characters that leave no ink, or that change the direction of what stands
    beside them, are shown as their code points; they can hide a trigger.

    Args:
        text: string, or anything that `str()` takes.

    Returns:
        `markupsafe.Markup`.

    Example:

    >>> untrusted("<b>\u202e")
    Markup('&lt;b&gt;<span class="mark">U+202E</span>')
    """
    text = str(text)
    shown = Markup().join(map(_ink, text[:MAX_CHARACTERS]))
    num_cut = len(text) - MAX_CHARACTERS
    if num_cut > 0:
        shown += Markup(
            ' <span class="mark">and {} more characters</span>'
        ).format(count(num_cut))
    return shown


def one_picture(images):
    """What stands for an example's images: the images side by side.

    Args:
        images: as an example holds them: an array `(H, W, 3)`, a list of such
            arrays of one size, or `None`.

    Returns:
        array, `(H, W, 3)`; a white one where there is no image.
    """
    if images is None or len(images) == 0:
        return np.full((16, 16, 3), 255, "uint8")
    if isinstance(images, list):
        return np.concatenate(images, axis=1)
    return images


def thumbnail(image):
    """Makes a small picture of an image, to stand in the page.

    Args:
        image: array, `(H, W, 3)`. uint8 in [0, 255], or float in [0, 255],
            or in [-1, 1] if it has negative values.

    Returns:
        Dict with `uri` (PNG as a data URI, at most 160 pixels a side), the
        `width` and `height` to show it at, and `is_enlarged` for tiny images,
        whose pixels are shown as squares.
    """
    picture = PIL.Image.fromarray(_to_uint8(np.asarray(image)))
    picture.thumbnail((MAX_PIXELS, MAX_PIXELS))
    factor = max(1, MIN_PIXELS // max(picture.size))
    png = io.BytesIO()
    picture.save(png, "PNG", optimize=True)
    data = base64.b64encode(png.getvalue()).decode("ascii")
    return {
        "uri": f"data:image/png;base64,{data}",
        "width": picture.width * factor,
        "height": picture.height * factor,
        "is_enlarged": factor > 1,
    }


def _check_max_rows(max_rows):
    """Refuses a `max_rows` that would show nothing."""
    if max_rows is None:
        return
    is_integer = isinstance(max_rows, int) and not isinstance(max_rows, bool)
    if not is_integer or max_rows < 1:
        raise ValueError(
            "`max_rows` is how many suspects the page shows and must be an "
            "integer of at least 1. To show all, pass `max_rows=None`. "
            f"Received: max_rows={max_rows!r}"
        )


def _environment():
    """Makes the Jinja2 environment, which escapes whatever it prints."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_byorn.audit", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (count, percent, score, mean, untrusted, csp_hash):
        environment.filters[function.__name__] = function
    return environment


def csp_hash(source):
    """Names an inline script or style in a content security policy."""
    digest = hashlib.sha256(str(source).encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _ink(character):
    """Escapes a character, or names it if it cannot be seen."""
    is_seen = character.isprintable() and character not in BLANK_CHARACTERS
    if is_seen or character == "\n":
        return character
    return Markup('<span class="mark">U+{:04X}</span>').format(ord(character))


def _suspects_first_to_look_at(table):
    """Returns the indices of suspects, the least plausible first."""
    order = np.argsort(table["plausibility"].to_numpy(), kind="stable")
    return order[table["is_suspect"].to_numpy()[order]]


def _kept_next_to_suspects(table):
    """Returns the indices of kept examples, the likeliest suspects first."""
    probability = table["suspect_probability"].to_numpy()
    order = np.lexsort((table["plausibility"].to_numpy(), -probability))
    return order[~table["is_suspect"].to_numpy()[order]]


def _views(table, indices, examples):
    """Returns what the page shows of some rows, one after the other."""
    for row in table.take(indices).to_pylist():
        example = examples.by_id(row["example_id"])
        tokens, surprise = row["tokens"] or [], row["token_surprise"] or []
        yield {
            **row,
            "image": thumbnail(one_picture(example["images"])),
            "tokens": [
                _token_view(*pair)
                for pair in zip(tokens[:MAX_TOKENS], surprise[:MAX_TOKENS])
            ],
            "num_tokens_left_out": max(0, len(tokens) - MAX_TOKENS),
        }


def _token_view(token, surprise):
    """Returns what the page shows of a token."""
    is_known = not math.isnan(surprise)
    steps = sum(surprise >= math.log(step) for step in SURPRISE_STEPS)
    return {
        "text": token.removeprefix("▁").replace("▁", "␣") or "␣",
        # Special tokens, such as `<eos>`, stand alone as words do.
        "starts_word": token.startswith(("▁", "<")),
        "figure": f"{surprise:.1f}".replace("inf", "∞") if is_known else "?",
        "title": (
            f"surprise {surprise:.2f} nats: a chance of {chance(surprise)}"
            if is_known
            else "not scored"
        ),
        "level": steps,
    }


def _to_uint8(image):
    """Brings an image to uint8 in [0, 255]."""
    if image.dtype == np.uint8:
        return image
    image = np.nan_to_num(image.astype("float32"))
    if image.min() < 0:
        image = (image + 1) * 127.5
    return np.clip(np.round(image), 0, 255).astype("uint8")


def _chart(histogram, width=960, height=200):
    """Places the bars and ticks of the histogram in pixels.

    Args:
        histogram: `Histogram`.
        width: integer, pixels of the plot.
        height: integer, pixels of the plot.

    Returns:
        Dict of plain numbers and texts for the template.
    """
    edges = histogram.edges
    low, high = edges[0], edges[-1]
    tallest = (histogram.kept + histogram.suspects).max()

    def x(value):
        return round(float((value - low) / (high - low) * width), 1)

    def tall(number):
        # Even a single example shall be seen.
        pixels = float(number / tallest * height)
        return round(max(pixels, 2.0), 1) if number else 0

    return {
        "width": width,
        "height": height,
        "bars": [
            {
                "x": x(edges[i]),
                "width": x(edges[i + 1]) - x(edges[i]),
                "kept": tall(kept),
                "suspects": tall(suspects),
                "title": f"{score(edges[i])} to {score(edges[i + 1])}: "
                f"{count(kept)} kept, {count(suspects)} suspects",
            }
            for i, (kept, suspects) in enumerate(
                zip(histogram.kept.tolist(), histogram.suspects.tolist())
            )
            if kept or suspects
        ],
        "x_ticks": [
            (x(tick), f"{tick:g}".replace("-", "−"))
            for tick in _ticks(low, high, 8)
        ],
        "y_ticks": [
            (height - tall(tick), count(round(tick)))
            for tick in _ticks(0, tallest, 3)
            if tick == round(tick)
        ],
        "boundary": histogram.boundary and tuple(map(x, histogram.boundary)),
        "boundary_label": histogram.boundary_label,
    }


def _ticks(low, high, most):
    """Returns at most `most` or so round numbers from `low` to `high`."""
    rough = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = min(
        (m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough),
        default=10 * magnitude,
    )
    first = math.ceil(low / step)
    last = math.floor(high / step)
    return [round(step * i, 10) for i in range(first, last + 1)]
