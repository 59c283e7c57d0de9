"""Texts of rows, whatever library they come from."""

import math
import numbers

import numpy as np

from keras_byorn.data.shown import shortened
from keras_byorn.data.words import is_blank

PICKS = ("first", "random", "all")


def is_missing(value):
    """Returns whether a value says that there is none: `None`, NaN, `NA`."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def as_text(value):
    """Converts one text, or number, to a string.

    Args:
        value: a string, bytes in UTF-8, a string of NumPy or TensorFlow, or a
            number. A whole number has no point: 7.0 is `"7"`, for a table
            turns integers into floats where one is missing.

    Returns:
        A string, not empty and encodable as UTF-8.

    Raises:
        ValueError: If it is missing, empty, or neither text nor number.

    Example:

    >>> as_text(np.bytes_(b"caf\\xc3\\xa9")), as_text(7.0)
    ('café', '7')
    """
    value = unwrapped(value)
    if is_missing(value):
        raise ValueError("there is no text")
    if isinstance(value, bytes):
        value = decoded(value)
    elif isinstance(value, (bool, np.bool_)):
        raise ValueError(
            "a text must be a string or a number. Turn true and false to the "
            f"words that the model should say. Received: {bool(value)}"
        )
    elif isinstance(value, numbers.Number) and not isinstance(value, str):
        value = _number(value)
        if value in ("inf", "-inf"):
            raise ValueError(f"a number must be finite. Received: {value}")
    if not isinstance(value, str):
        raise ValueError(
            "a text must be a string or a number. Received: "
            f"{type(value).__name__}, {shortened(value)}"
        )
    text = str(value)
    if is_blank(text):
        raise ValueError(f"the text is empty. Received: {shortened(text)}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text has half a character in it, at {error.start}, as a "
            f"wrong escape leaves one. Received: {shortened(text)}"
        ) from None
    return text


def unwrapped(value):
    """Takes a scalar out of a tensor or an array without axes."""
    if hasattr(value, "numpy") and hasattr(value, "dtype"):
        value = value.numpy()  # TensorFlow, PyTorch
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.item()
    if hasattr(value, "as_py"):  # Arrow
        return value.as_py()
    return value


def is_several(value):
    """Returns whether a value is several texts, of which one is picked."""
    if isinstance(value, (list, tuple)):
        return True
    return getattr(value, "ndim", 0) > 0


def picked(value, place):
    """Picks one of several texts; returns a single one unchanged.

    Args:
        value: a text, or a list or array of them.
        place: float in [0, 1). Where in the list.

    Returns:
        A value for `as_text`.

    Raises:
        ValueError: If there are none.
    """
    value = unwrapped(value)
    if not is_several(value):
        return value
    if not len(value):
        raise ValueError("there is no text: the list is empty")
    return value[int(place * len(value))]


def decoded(data):
    """Decodes bytes in UTF-8; raises a `ValueError` that shows them."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"a text in bytes must be UTF-8. Received: {shortened(data)}"
        ) from error


def _number(value):
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        if abs(value) < 2**53:
            return str(int(value))
    return str(value)
