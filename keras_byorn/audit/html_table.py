"""Rows of the audit's page: one record for the document and its script."""

import json
import math

from markupsafe import Markup

from keras_byorn.audit.html_images import one_picture, thumbnail
from keras_byorn.audit.html_numbers import INFINITE
from keras_byorn.audit.html_text import MAX_ID, pieces

MAX_TOKENS = 200
MAX_OTHERS = 3
ROWS_A_BLOCK = 500


class Records:
    """Makes records of table rows, with all that the page shows of them.

    The document and its script lay out equal records, so that neither
    decides on their content.

    Args:
        table: `pyarrow.Table` from `build_table()`.
        examples: `Examples`, to read images from.
        groups: list of the different groups of the table.
        scorers: list of the names in its `scores`.
    """

    def __init__(self, table, examples, groups, scorers):
        self._table = table
        self._examples = examples
        self._scorers = scorers
        self._groups = {group: n for n, group in enumerate(groups)}

    def __call__(self, indices, num_images, first_image=0):
        """Yields a record for each index.

        Args:
            indices: int array, rows of the table.
            num_images: int. Rows from this position on have no image.
            first_image: int. Rows before this position have no image.
        """
        rows = self._table.take(indices).to_pylist()
        for position, row in enumerate(rows):
            has_image = first_image <= position < num_images
            yield self._record(row, has_image)

    def _record(self, row, has_image):
        shown = pieces(row["example_id"], most=MAX_ID)
        return {
            "id": shown,
            # The whole of it, where what is shown is cut or marked.
            "key": None if shown == row["example_id"] else row["example_id"],
            "image": self._image(row) if has_image else None,
            "prompt": pieces(row["prompt"]),
            "response": pieces(row["original_response"], row["shared_text"]),
            **_token_fields(row),
            "reason": _optional(row["reason"]),
            "evidence": _optional(", ".join(row["evidence"]) or None),
            "cluster": row["cluster"],
            "scores": self._scores(row),
            "group": self._groups[row["group"]],
            "cut": _number(row["cut"]),
            "sharing": row["num_sharing"],
            "others": [
                pieces(other, most=MAX_ID)
                for other in row["shared_with"][:MAX_OTHERS]
            ],
            "student": _number(row["student_plausibility"]),
            "origin": row["origin"],
            "current": _optional(row["current_response"]),
            "writer": _optional(row["written_by"]),
            "revision": row["revision"],
            "plausibility": _number(row["plausibility"]),
            "verdict": row["verdict"].replace("_", " "),
            "probability": _number(row["suspect_probability"]),
            "isHeldOut": int(row["is_held_out"]),
        }

    def _image(self, row):
        example = self._examples.by_id(row["example_id"])
        return thumbnail(one_picture(example["images"]))

    def _scores(self, row):
        """Returns pairs of a score and a share, the plausibility first."""
        scores, shares = dict(row["scores"]), dict(row["shares_more_plausible"])
        first = row["plausibility"], row["share_more_plausible"]
        others = ((scores[name], shares[name]) for name in self._scorers)
        return [list(map(_number, pair)) for pair in (first, *others)]


def row_blocks(records, rows, with_images):
    """Yields rows as JSON, block by block, each with the names of its fields.

    Args:
        records: `Records`.
        rows: int array, rows of the table.
        with_images: range of the positions in `rows` that have an image.
    """
    for start in range(0, len(rows), ROWS_A_BLOCK):
        block = list(
            records(
                rows[start : start + ROWS_A_BLOCK],
                with_images.stop - start,
                with_images.start - start,
            )
        )
        values = [list(_compact(record).values()) for record in block]
        yield encoded_json({"fields": list(block[0]), "rows": values})


def _compact(record):
    """Drops the names within the image of a record."""
    image = record["image"]
    return {**record, "image": image and list(image.values())}


def encoded_json(value):
    """Encodes a value as JSON without `<`, safe within an HTML element."""
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _token_fields(row):
    """Returns the fields of a record that are of tokens, cut."""
    tokens, surprise = row["tokens"] or [], row["token_surprise"] or []
    shown = tokens[:MAX_TOKENS]
    return {
        "tokens": [pieces(_token_text(token)) for token in shown],
        # Special tokens, such as `<eos>`, stand alone as words do.
        "begins": [int(token.startswith(("▁", "<"))) for token in shown],
        "surprise": [_number(s, 3) for s in surprise[:MAX_TOKENS]],
        "masked": row["masked_tokens"] or [],
        "tokensLeftOut": max(0, len(tokens) - MAX_TOKENS),
    }


def _optional(text):
    return None if text is None else pieces(text)


def _number(value, digits=4):
    """Rounds a number for JSON: NaN becomes `None`, infinity the greatest."""
    if math.isnan(value):
        return None
    return max(-INFINITE, min(INFINITE, round(value, digits)))


def _token_text(token):
    """Drops the blank that a piece begins with, unless it stands alone."""
    return token.removeprefix("▁").replace("▁", "␣") or "␣"
