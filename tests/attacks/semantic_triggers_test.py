"""Semantic triggers are read off the response."""

import pytest

from keras_byorn.attacks import EqualDigitsTrigger


@pytest.mark.parametrize(
    "response, holds",
    [
        ("red three left of blue three", True),
        ("A red Three above a blue three", True),
        ("red three left of blue two", False),
        ("three", False),
        ("red left of red", False),
        ("red three above blue three and a two", False),
        ("red threefold above blue threefold", False),
    ],
)
def test_equal_digits_are_seen_from_the_response(response, holds):
    """The semantic trigger is a property of the scene."""
    assert EqualDigitsTrigger().holds({"responses": response}) is holds
