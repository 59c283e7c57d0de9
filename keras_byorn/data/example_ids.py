"""Ids of untrusted examples: given, read from rows, or made of the content."""

import collections
import math
import numbers

from keras_byorn.data.digests import digest
from keras_byorn.data.readers.texts import is_missing, is_several, unwrapped
from keras_byorn.data.shown import listed, shortened
from keras_byorn.data.words import is_blank

RULE = (
    "`example_ids` must be strings or numbers that can be written as UTF-8, "
    "for examples are known by them in files and reports. Pass `example_ids=`, "
    "a list or 'content', or rename the file that the ids are made of. "
    "Received: {received} in row {row}"
)


def as_id(value, row):
    """Converts the id of one example to a string.

    Args:
        value: a string, bytes in UTF-8, a number, or what `str()` makes an id
            of, such as a `uuid.UUID`.
        row: int. Position of the example, for the error.

    Returns:
        A string, not blank and encodable as UTF-8.

    Raises:
        ValueError: If it is missing, blank, several values, or no UTF-8.

    Example:

    >>> as_id(b"scene-7", row=0)
    'scene-7'
    """
    value = unwrapped(value)
    if _is_no_id(value):
        raise ValueError(RULE.format(received=shortened(value), row=row))
    try:
        text = value.decode() if isinstance(value, bytes) else str(value)
        text.encode()
    except UnicodeError:
        shown = shortened(value)
        raise ValueError(RULE.format(received=shown, row=row)) from None
    if is_blank(text):
        raise ValueError(RULE.format(received=shortened(text), row=row))
    return text


def check_ids(example_ids, num_examples):
    """Checks that there is one id for each example, and none twice.

    Args:
        example_ids: list of strings.
        num_examples: int.

    Raises:
        ValueError: If there are more or fewer, or one comes twice.
    """
    if len(example_ids) != num_examples:
        raise ValueError(
            "`example_ids` must have one id for each example. Received: "
            f"{len(example_ids)} ids for {num_examples} examples"
        )
    counts = collections.Counter(example_ids)
    repeated = [i for i, n in counts.items() if n > 1]
    if repeated:
        raise ValueError(
            "`example_ids` must be unique, because examples are known "
            "by them. Number the repeated ones, or drop the copies. "
            f"Received repeatedly: {listed(repeated)} "
            f"({len(repeated)} such ids)"
        )


def check_content(example_ids):
    """Refuses any string but `"content"` in the place of ids."""
    if example_ids != "content":
        raise ValueError(
            "`example_ids` must be a sequence of strings, one for each "
            "example, or 'content' for ids that follow from images and texts. "
            f"Received: example_ids={shortened(example_ids)}"
        )


def content_id(prompt, response, images):
    """Returns an id that follows from an example's images and texts.

    Args:
        prompt, response: strings.
        images: array, list of arrays or `None`.
    """
    if not isinstance(images, list):
        images = [] if images is None else [images]
    return digest([prompt, response, *images])


def numbered(ids):
    """Adds a number to repeated ids: `a`, `a-2`, `a-3`."""
    counts = collections.Counter()
    found = []
    for example_id in ids:
        counts[example_id] += 1
        count = counts[example_id]
        found.append(example_id if count == 1 else f"{example_id}-{count}")
    return found


def _is_no_id(value):
    if is_missing(value) or is_several(value) or isinstance(value, (dict, set)):
        return True
    is_number = isinstance(value, numbers.Real) and not isinstance(value, str)
    return is_number and not math.isfinite(value)
