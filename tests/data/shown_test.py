"""What a message shows of untrusted values: short, and without control."""

import pathlib

from keras_byorn.data.shown import legible, listed, shortened


def test_values_are_cut():
    """A megabyte of text becomes a line."""
    assert shortened("a cat") == "'a cat'"
    assert shortened("x" * 10**6) == f"'{'x' * 79}..."
    assert len(shortened(["x" * 10**6])) == 83
    assert shortened("\x1b[31m\ud800") == "'\\x1b[31m\\ud800'"


def test_lists_are_cut():
    """The first of them, each cut; an iterator is read no further."""
    assert listed(["a", "b"]) == "['a', 'b']"
    assert listed([]) == "[]"
    assert listed(iter("abcdefgh")) == "['a', 'b', 'c', 'd', 'e', ...]"
    assert len(listed(["x" * 10**6] * 10**3)) < 500


def test_what_a_terminal_obeys_is_escaped():
    """Not new lines, which make a report of several rows."""
    assert legible("é — 日本\n") == "é — 日本\n"
    assert legible("\x1b[31m\u202e\ud800") == "\\x1b[31m\\u202e\\ud800"
    path = pathlib.Path("caf\udce9.csv")
    assert legible(path).encode() == b"caf\\udce9.csv"
    assert legible("it's") == "it's" and legible("it's \0") == "it's \\x00"
