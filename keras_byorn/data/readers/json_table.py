"""Tables in JSON: a line each, a list, or the annotations of COCO."""

import collections
import json
import pathlib

from keras_byorn.data.readers.decoding import read_text
from keras_byorn.data.readers.table import Fault, table_rows
from keras_byorn.data.shown import legible, shortened


def read_json(path, encoding="utf-8"):
    """Reads a file of JSON objects as rows.

    A list of objects, and a dict of COCO's `"images"` and `"annotations"`,
    are told from lines by what the file begins with, not by its name.

    Args:
        path: string or path.
        encoding: string.

    Returns:
        A `Rows`. A line that is no object is a row that raises when read.

    Raises:
        ValueError: If the file is not in the encoding, or is JSON that holds
            no list of objects.
    """
    path = pathlib.Path(path)
    text = read_text(path, encoding)
    opening = text.lstrip()[:1]
    if opening == "[" or (opening == "{" and _is_one_object(text)):
        return _whole(path, text)
    rows, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            rows.append(_parsed(line))
            lines.append(number)
    return table_rows(path, rows, lines)


def _is_one_object(text):
    """Returns whether a text is one object over several lines."""
    first, _, rest = text.strip().partition("\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return bool(rest)
    return not rest and any(
        f'"{name}"' in first for name in ("annotations", "data")
    )


def _whole(path, text):
    try:
        found = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            "A table in JSON must be a list of objects, or an object in each "
            f"line. Received: {legible(path)}, which is broken: "
            f"{shortened(str(error))}"
        ) from error
    if isinstance(found, dict):
        found = _joined(path, found)
    rows = [
        row
        if isinstance(row, dict)
        else Fault(f"a row must be an object. Received: {shortened(row)}")
        for row in found
    ]
    return table_rows(path, rows, range(len(rows)), "item")


def _joined(path, data):
    """Puts COCO's captions beside the names of their images."""
    images, annotations = data.get("images"), data.get("annotations")
    try:
        names = {image["id"]: image["file_name"] for image in images}
        return [
            {"image": names[row["image_id"]], "caption": row["caption"]}
            for row in annotations
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(
            "A table in JSON must be a list of objects, an object in each "
            "line, or have COCO's `images` and `annotations` with captions. "
            f"Received: {legible(path)} with {shortened(sorted(data))}, "
            f"{type(error).__name__}: {error}"
        ) from error


def _parsed(line):
    try:
        row = json.loads(line, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        return Fault(
            f"the line is no JSON: {error}. Received: {shortened(line)}"
        )
    if not isinstance(row, dict):
        return Fault(f"a row must be an object. Received: {shortened(line)}")
    return row


def _unique(pairs):
    """Makes a dict of pairs; refuses a name that comes twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        counts = collections.Counter(name for name, _ in pairs)
        twice = min(name for name, count in counts.items() if count > 1)
        raise ValueError(f"an object has the name {shortened(twice)} twice")
    return row
