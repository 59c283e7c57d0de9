"""Texts of all libraries become strings, or are refused."""

import decimal

import numpy as np
import pytest

from keras_byorn.data.readers.texts import as_text, is_missing, picked


class NAType:
    """As pandas names its missing value."""


@pytest.mark.parametrize(
    "value, text",
    [
        ("a", "a"),
        (b"caf\xc3\xa9", "café"),
        (np.str_("a"), "a"),
        (np.array("a"), "a"),
        (np.array(b"a"), "a"),
        (3, "3"),
        (3.0, "3"),
        (-0.5, "-0.5"),
        (1e300, "1e+300"),
        (np.int8(3), "3"),
        (np.float32(0.1), "0.1"),
        (np.float64(2.0), "2"),
        (decimal.Decimal("1.50"), "1.50"),
        (" a ", " a "),
    ],
)
def test_texts(value, text):
    """Spaces stay; a number reads as a person writes it."""
    found = as_text(value)
    assert type(found) is str and found == text


@pytest.mark.parametrize(
    "value, message",
    [
        (None, "no text"),
        (float("nan"), "no text"),
        (np.float32("nan"), "no text"),
        (NAType(), "no text"),
        ("", "is empty"),
        (" \n", "is empty"),
        (float("inf"), "must be finite"),
        (True, "true and false.*True"),
        (np.bool_(False), "true and false.*False"),
        (b"\xe9", "must be UTF-8"),
        ("\ud83d", "half a character"),
        ({"a": 1}, "a string or a number.*dict"),
        (["a"], "a string or a number.*list"),
        ("x" * 10**6 + "\ud83d", "half a character"),
    ],
)
def test_what_is_no_text(value, message):
    """The reason is short, however long the value."""
    with pytest.raises(ValueError, match=message) as caught:
        as_text(value)
    assert len(str(caught.value)) < 300


def test_one_of_several_is_picked():
    """By a place in [0, 1); a single one is itself."""
    assert picked("abc", 0.9) == "abc"
    for several in (
        ["a", "b", "c"],
        ("a", "b", "c"),
        np.array(["a", "b", "c"]),
    ):
        assert [picked(several, p) for p in (0, 0.34, 0.99)] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="the list is empty"):
        picked([], 0.0)


def test_zero_is_not_missing():
    """Nor is an empty string, which has a message of its own."""
    assert not any(map(is_missing, (0, 0.0, "", [], np.zeros(3))))
