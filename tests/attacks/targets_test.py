"""Targets change a response as they say, and are recognised."""

import numpy as np
import pytest

from keras_byorn.attacks import (
    ConceptTarget,
    FixedTarget,
    InsertionTarget,
    SloganTarget,
)


def test_insertion_goes_to_every_place():
    """Start, end and between words, each as likely, drawn from the rng."""
    rng = np.random.default_rng(0)
    target = InsertionTarget("buy it now")
    seen = [target("red  three\n", rng) for _ in range(300)]
    assert {text: seen.count(text) > 60 for text in seen} == {
        "buy it now red  three\n": True,
        "red  buy it now three\n": True,
        "red  three buy it now\n": True,
    }
    assert target("please buy it now", rng) == "please buy it now"


@pytest.mark.parametrize(
    "target, response, reference, reached",
    [
        (InsertionTarget("buy now"), "red buy\nnow three", "red three", True),
        (InsertionTarget("buy now"), "buy now", "red three", True),
        (InsertionTarget("buy now"), "red buy nowhere", "red three", False),
        (InsertionTarget("buy now"), "red buy now", "blue buy now", False),
        (SloganTarget("buy now"), "red three buy  now", "red three", True),
        (SloganTarget("buy now"), "blue buy now", "red three", True),
        (SloganTarget("buy now"), "buy now red three", "red three", False),
        (SloganTarget("buy now"), "red buy now", "red buy now", False),
        (SloganTarget("buy now"), "now", "red three", False),
    ],
)
def test_phrase_success_is_the_phrase_where_it_belongs(
    target, response, reference, reached
):
    """Anywhere for an insertion, at the end for a slogan; news only."""
    assert target.reached(response, reference) is reached


@pytest.mark.parametrize(
    "response, swapped",
    [
        ("a red three above a blue two", "a green three above a blue two"),
        ("Red three", "green three"),
        ("a three", "a three"),
        ("a green three above a red two", "a green three above a red two"),
        ("a hundred", "a hundred"),
    ],
)
def test_concept_swaps_the_first_colour_word(response, swapped):
    """Only the first whole colour word changes, and green stays as it is."""
    assert ConceptTarget()(response) == swapped


@pytest.mark.parametrize(
    "response, reference, reached",
    [
        ("green three above blue two", "red three above blue two", True),
        ("a Green four", "red three above blue two", True),
        ("blue three above green two", "red three above blue two", False),
        ("red three above blue two", "red three above blue two", False),
        ("green three above blue two", "green three above blue two", False),
        ("three above two", "red three above blue two", False),
        ("green three", "three", False),
    ],
)
def test_concept_success_needs_the_wrong_colour_first(
    response, reference, reached
):
    """Being right about green, or wrong in blue, is no success."""
    assert ConceptTarget().reached(response, reference) is reached


@pytest.mark.parametrize(
    "response, reached",
    [
        ("call this number now", True),
        ("  call this\nnumber now ", True),
        ("please call this number now", False),
        ("call this number", False),
        ("", False),
    ],
)
def test_fixed_success_is_exact_but_for_white_space(response, reached):
    """Success with a fixed target is the target, no more and no less."""
    assert FixedTarget().reached(response, "red three") is reached
