"""Tests of numbers put in words."""

import math

import pytest

from keras_byorn.audit import html_numbers


@pytest.mark.parametrize(
    "function, value, text",
    [
        ("count", 12345, "12,345"),
        ("percent", 0.1019, "10.2%"),
        ("score", -7.306, "−7.31"),
        ("score", None, "not scored"),
        ("score", math.nan, "not scored"),
        ("score", math.inf, "∞"),
        ("score", -math.inf, "−∞"),
        ("mean", None, "–"),
        ("mean", -1.5, "−1.50"),
        ("chance", 0.0, "1 in 1.0"),
        ("chance", 7.31, "1 in 1,495"),
        ("chance", 31.0, "less than 1 in 10,000,000,000,000"),
        ("standing", 1, "less plausible than all others of its group"),
        ("standing", 0.5, "less plausible than 50.0% of its group"),
    ],
)
def test_numbers_in_words(function, value, text):
    """Each reads as the page's script writes it."""
    assert getattr(html_numbers, function)(value) == text
