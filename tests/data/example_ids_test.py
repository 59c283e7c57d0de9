"""Ids are strings that can be written, each of one example."""

import uuid

import numpy as np
import pytest

from keras_byorn.data.example_ids import as_id, check_ids, numbered
from keras_byorn.data.examples import Examples


@pytest.mark.parametrize(
    "value, expected",
    [
        ("a", "a"),
        (b"caf\xc3\xa9", "café"),
        (7, "7"),
        (np.int64(7), "7"),
        (1.5, "1.5"),
        (np.str_("a"), "a"),
        (np.array("a"), "a"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_ids_become_strings(value, expected):
    """Of NumPy, of bytes, of numbers, and of what `str` makes one of."""
    found = as_id(value, row=0)
    assert found == expected and type(found) is str


@pytest.mark.parametrize(
    "value",
    [
        None,
        np.nan,
        "",
        " \u200b",
        "caf\udce9",
        b"\xff",
        ["a"],
        {},
        np.inf,
    ],
)
def test_ids_that_cannot_be_written_are_refused(value):
    """At the door, with the row; else a run would die when it saves."""
    message = r"`example_ids` must be.*UTF-8.*Pass `example_ids=`.*in row 3"
    with pytest.raises(ValueError, match=message):
        as_id(value, row=3)


def test_content_ids_name_a_row_that_has_none():
    """Half a character has no digest."""
    row = {"prompts": "what", "responses": "red \ud800", "images": None}
    with pytest.raises(ValueError, match="row 0 of list.*surrogates"):
        Examples([row], example_ids="content")


def test_repeated_ids_are_numbered_or_refused():
    """Those of contents are numbered, all others refused."""
    assert list(numbered("aab")) == ["a", "a-2", "b"]
    with pytest.raises(ValueError, match=r"\['a'\] \(1 such ids\)"):
        check_ids(["a", "a", "b"], 3)
    with pytest.raises(ValueError, match="2 ids for 3 examples"):
        check_ids(["a", "b"], 3)
