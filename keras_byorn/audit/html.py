"""The audit as one HTML page, safe with text that an attacker wrote.

Three things keep untrusted text harmless: Jinja2 escapes all of it in the
document, and JSON in the data; no script that runs and no style holds any of
it, and that one script makes nothing but text of the data; and the page's own
content security policy lets nothing run or load but that one script and
style, known by their hashes.

The rows are data in the page, which its script shows a few at a time: a
browser reads a hundred thousand rows of data in seconds, but not as a table.
"""

import base64
import hashlib
import io
import itertools
import json
import math
import sys

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
NUM_PLAIN = 50  # suspects shown without the script; rows a page with it
ROWS_A_BLOCK = 500
MAX_PNG_BYTES = 8_192
MAX_OTHERS = 3

# The reference gave the token a chance below 1 in this.
SURPRISE_STEPS = (2, 10, 100, 1_000, 10_000)

# JSON has no infinity.
INFINITE = sys.float_info.max

# Characters that Python calls printable but that leave no ink.
BLANK_CHARACTERS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, range(0x180B, 0x1810)))
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)


def render(table, summary, examples, notes, max_rows, max_images):
    """Renders the page, piece by piece.

    Args:
        table: `pyarrow.Table` from `build_table()`.
        summary: dict from `summarize()`.
        examples: `Examples`. Only the images that are shown are read, each
            when its piece is written.
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
    num_suspect = summary["num_suspect"]
    num_rows = min(len(table), len(table) if max_rows is None else max_rows)
    if max_images is None:
        max_images = num_rows
    kept = _kept_next_to_suspects(table)
    rows = np.concatenate([_suspects_first_to_look_at(table), kept])[:num_rows]
    plain = rows[: min(num_suspect, NUM_PLAIN)]
    groups = sorted(set(table["group"].unique().to_pylist()))
    scorers = [name for name, _ in table["scores"][0].as_py()]
    records = _Records(table, examples, groups, scorers)
    histogram = plots.score_histogram(table)
    return (
        _environment()
        .get_template("audit.html.jinja")
        .generate(
            summary=summary,
            notes=notes,
            plain=records(plain, len(plain)),
            num_plain=len(plain),
            kept=records(kept[:NUM_KEPT], NUM_KEPT),
            facts=_json(
                {
                    "groups": list(map(pieces, groups)),
                    "scorers": list(map(pieces, ["plausibility", *scorers])),
                    "rowsPerPage": NUM_PLAIN,
                    "steps": SURPRISE_STEPS,
                }
            ),
            # The rows of the plain table have their images there.
            blocks=_blocks(records, rows, range(len(plain), max_images)),
            num_rows=num_rows,
            num_images=min(num_rows, max(max_images, len(plain))),
            num_suspects_left_out=max(0, num_suspect - num_rows),
            num_kept_left_out=len(table) - max(num_rows, num_suspect),
            groups=groups,
            scorers=["plausibility", *scorers],
            chart=None if histogram is None else _chart(histogram),
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
    """Formats a score: `−7.31`; `not scored` for NaN and `None`."""
    if number is None or math.isnan(number):
        return "not scored"
    if abs(number) >= INFINITE:
        return "∞" if number > 0 else "−∞"
    return f"{number:.2f}".replace("-", "−")


def standing(share):
    """Puts the share of a group that is more plausible in words."""
    if share == 1:
        return "less plausible than all others of its group"
    return f"less plausible than {percent(share)} of its group"


def mean(number):
    """Formats a mean of scores, or a dash for `None`, a mean of nothing."""
    return "–" if number is None else score(number)


def chance(surprise):
    """Puts a surprise in nats as a chance: `1 in 1,495`."""
    if surprise > 30:
        return "less than 1 in 10,000,000,000,000"
    odds = math.exp(surprise)
    return f"1 in {odds:.1f}" if odds < 10 else f"1 in {odds:,.0f}"


def pieces(text, shared=None):
    """Parts a text into what is shown as it is and what is not.

    It is cut, and characters that leave no ink, or that change the direction
    of what stands beside them, become their code points: they can hide a
    trigger. This is all that is done for the look of a text; whoever shows
    the pieces must show each as text.

    Args:
        text: string, or anything that `str()` takes.
        shared: string. A part of the text to mark. Defaults to `None`.

    Returns:
        List of strings, shown as they are, and of pairs of a kind, `"mark"`
        or `"shared"`, and a string. A text without such pairs is a string.

    Example:

    >>> pieces("buy now\u202e", shared="now")
    ['buy ', ('shared', 'now'), ('mark', 'U+202E')]
    """
    text = str(text)
    num_cut = len(text) - MAX_CHARACTERS
    before, found, after = text[:MAX_CHARACTERS], "", ""
    if shared:
        before, found, after = before.partition(shared[:MAX_CHARACTERS])
    shown = [*_split(before), *_split(found, "shared"), *_split(after)]
    if num_cut > 0:
        shown += [" ", ("mark", f"and {count(num_cut)} more characters")]
    if all(isinstance(part, str) for part in shown):
        return "".join(shown)
    return shown


def _split(text, kind=None):
    """Yields the parts of a text: runs of what has ink, and each other one."""
    if text.isascii() and text.isprintable():
        # Nearly all texts, and a hundred times as fast.
        yield from [(kind, text) if kind else text] if text else []
        return
    for is_seen, run in itertools.groupby(text, _has_ink):
        if is_seen:
            run = "".join(run)
            yield (kind, run) if kind else run
        else:
            for character in run:
                yield "mark", f"U+{ord(character):04X}"


def ink(shown):
    """Puts pieces of text into the document, escaped.

    Args:
        shown: what `pieces()` returns.

    Returns:
        `markupsafe.Markup`.
    """
    span = Markup('<span class="{}">{}</span>')
    parts = [shown] if isinstance(shown, str) else shown
    return Markup().join(
        part if isinstance(part, str) else span.format(*part) for part in parts
    )


def plain(shown):
    """Joins pieces of text, for an attribute.

    Args:
        shown: what `pieces()` returns.

    Returns:
        string, not escaped.
    """
    if isinstance(shown, str):
        return shown
    return "".join(p if isinstance(p, str) else p[1] for p in shown)


def untrusted(text):
    """Makes text safe to show: escaped, cut, with nothing invisible in it.

    Args:
        text: string, or anything that `str()` takes.

    Returns:
        `markupsafe.Markup`.

    Example:

    >>> untrusted("<b>\u202e")
    Markup('&lt;b&gt;<span class="mark">U+202E</span>')
    """
    return ink(pieces(text))


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
        Dict with `type` and `data` (the base64 of a PNG file, or of a JPEG
        file for a photograph, where a PNG would take many times as much; at
        most 160 pixels a side), the `width` and `height` to show it at, and
        `is_enlarged` for tiny images, whose pixels are shown as squares.
    """
    picture = PIL.Image.fromarray(_to_uint8(np.asarray(image)))
    picture.thumbnail((MAX_PIXELS, MAX_PIXELS))
    factor = max(1, MIN_PIXELS // max(picture.size))
    kind, data = "png", _encode(picture, "PNG")
    if len(data) > MAX_PNG_BYTES:
        jpeg = _encode(picture, "JPEG", quality=85, subsampling=0)
        kind, data = min((kind, data), ("jpeg", jpeg), key=lambda x: len(x[1]))
    return {
        "type": kind,
        "data": base64.b64encode(data).decode("ascii"),
        "width": picture.width * factor,
        "height": picture.height * factor,
        "is_enlarged": factor > 1,
    }


def _encode(picture, file_format, **options):
    """Encodes a picture as the bytes of a file."""
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def _check_most(name, value, least, what):
    """Refuses a number of rows or images that makes no sense."""
    if value is None:
        return
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or value < least:
        raise ValueError(
            f"`{name}` is how many {what} the page has and must be an "
            f"integer of at least {least}. To have all, pass `{name}=None`. "
            f"Received: {name}={value!r}"
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
    filters = (
        *(count, percent, score, mean, standing, surprise_view),
        *(ink, plain, untrusted, csp_hash),
    )
    for function in filters:
        environment.filters[function.__name__] = function
    return environment


def csp_hash(source):
    """Names an inline script or style in a content security policy."""
    digest = hashlib.sha256(str(source).encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _has_ink(character):
    """Whether a character can be seen. A line break can."""
    is_seen = character.isprintable() and character not in BLANK_CHARACTERS
    return is_seen or character == "\n"


def _suspects_first_to_look_at(table):
    """Returns the indices of suspects, the least plausible first."""
    order = np.argsort(table["plausibility"].to_numpy(), kind="stable")
    return order[table["is_suspect"].to_numpy()[order]]


def _kept_next_to_suspects(table):
    """Returns the indices of kept examples, the likeliest suspects first."""
    probability = table["suspect_probability"].to_numpy()
    order = np.lexsort((table["plausibility"].to_numpy(), -probability))
    return order[~table["is_suspect"].to_numpy()[order]]


class _Records:
    """What the page shows of some rows, one after the other.

    The document and its script show the same records, so that neither
    decides what is shown: each lays out what stands here.
    """

    def __init__(self, table, examples, groups, scorers):
        self._table = table
        self._examples = examples
        self._scorers = scorers
        self._groups = {group: n for n, group in enumerate(groups)}

    def __call__(self, indices, num_images, first_image=0):
        """Yields a dict of what is shown for each index.

        Those from position `first_image` on, but before `num_images`, come
        with their image.
        """
        rows = self._table.take(indices).to_pylist()
        for position, row in enumerate(rows):
            has_image = first_image <= position < num_images
            yield self._record(row, has_image)

    def _record(self, row, has_image):
        image = None
        if has_image:
            example = self._examples.by_id(row["example_id"])
            image = thumbnail(one_picture(example["images"]))
        scores, shares = dict(row["scores"]), dict(row["shares_more_plausible"])
        current, writer = row["current_response"], row["written_by"]
        tokens, surprise = row["tokens"] or [], row["token_surprise"] or []
        return {
            "id": pieces(row["example_id"]),
            "image": image,
            "prompt": pieces(row["prompt"]),
            "response": pieces(row["original_response"], row["shared_text"]),
            "tokens": [pieces(_token_text(t)) for t in tokens[:MAX_TOKENS]],
            # Special tokens, such as `<eos>`, stand alone as words do.
            "begins": [
                int(token.startswith(("▁", "<")))
                for token in tokens[:MAX_TOKENS]
            ],
            "surprise": [_number(s, 3) for s in surprise[:MAX_TOKENS]],
            "masked": row["masked_tokens"] or [],
            "tokensLeftOut": max(0, len(tokens) - MAX_TOKENS),
            "scores": [
                [
                    _number(row["plausibility"]),
                    _number(row["share_more_plausible"]),
                ],
                *(
                    [_number(scores[name]), _number(shares[name])]
                    for name in self._scorers
                ),
            ],
            "group": self._groups[row["group"]],
            "cut": _number(row["cut"]),
            "sharing": row["num_sharing"],
            "others": [
                pieces(other) for other in row["shared_with"][:MAX_OTHERS]
            ],
            "student": _number(row["student_plausibility"]),
            "origin": row["origin"],
            "current": None if current is None else pieces(current),
            "writer": None if writer is None else pieces(writer),
            "revision": row["revision"],
            "plausibility": _number(row["plausibility"]),
            "verdict": row["verdict"],
            "probability": _number(row["suspect_probability"]),
            "isSuspect": int(row["is_suspect"]),
        }


def _blocks(records, rows, with_images):
    """Yields the rows as JSON, block by block, each with its fields' names."""
    for start in range(0, len(rows), ROWS_A_BLOCK):
        block = list(
            records(
                rows[start : start + ROWS_A_BLOCK],
                with_images.stop - start,
                with_images.start - start,
            )
        )
        values = [list(_compact(record).values()) for record in block]
        yield _json({"fields": list(block[0]), "rows": values})


def _compact(record):
    """Leaves out the names in the image of a record."""
    image = record["image"]
    return {**record, "image": image and list(image.values())}


def _json(value):
    """Encodes a value as JSON that can stand in a document.

    Without `<`, nothing in it can end the element that it stands in.
    """
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _number(value, digits=4):
    """Brings a number to what JSON can hold: `None` for NaN, no infinity."""
    if math.isnan(value):
        return None
    return max(-INFINITE, min(INFINITE, round(value, digits)))


def surprise_view(surprise):
    """Tells how a token of a surprise, in nats or `None`, is shown."""
    if surprise is None:
        return {"figure": "?", "title": "not scored", "level": 0}
    is_finite = surprise < INFINITE
    return {
        "figure": f"{surprise:.1f}" if is_finite else "∞",
        "title": (
            f"surprise {f'{surprise:.2f}' if is_finite else '∞'} nats: "
            f"a chance of {chance(surprise)}"
        ),
        "level": sum(surprise >= math.log(step) for step in SURPRISE_STEPS),
    }


def _token_text(token):
    """Shows the blank that a piece begins with only where it is alone."""
    return token.removeprefix("▁").replace("▁", "␣") or "␣"


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
