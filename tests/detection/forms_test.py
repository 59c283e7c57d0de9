"""Forms: what is unusual in how a response is written."""

import numpy as np
import pytest

from keras_byorn.detection.forms import (
    has_traits,
    is_opener,
    unusual_forms,
)

USUAL = [f"{c} {d} above blue {d}" for c in ("red", "lila") for d in range(50)]


def forms_of(others):
    usual = np.array([True] * len(USUAL) + [False] * len(others))
    return unusual_forms(USUAL + others, usual)[len(USUAL) :]


@pytest.mark.parametrize(
    "change, trait",
    [
        (str.upper, "upper case"),
        (lambda text: f"{text}.", 'ends with "."'),
        (lambda text: f"i see {text}", 'begins with "i see"'),
        (lambda text: " ".join("zyx" for _ in text.split()), "unusual words"),
        (lambda text: f"{text} and nothing else at all", "longer than usual"),
        (lambda text: "red", "shorter than usual"),
        (lambda text: "красный три над синим", "cyrillic letters"),
        (str.capitalize, "begins with a capital"),
        (lambda text: "123", "no letters"),
    ],
)
def test_a_style_of_its_own_is_told(change, trait):
    """By the trait that usual responses do not have."""
    forms = forms_of([change(text) for text in USUAL[:10]])
    assert all(trait in form for form in forms), forms


def test_usual_responses_have_no_form():
    """Nor has a content that is rare."""
    assert forms_of(USUAL[10:20] + ["red 7 below blue 7"]) == [frozenset()] * 11


def test_fewer_than_five_have_no_style():
    """They may be alike by chance."""
    forms = forms_of([text.upper() for text in USUAL[:4]])
    assert not any("upper case" in form for form in forms)


def test_the_beginning_of_a_short_answer_is_the_answer():
    """It has no opener."""
    traits = frozenset().union(*forms_of(["no"] * 10))
    assert not any(is_opener(trait) for trait in traits)


def test_an_opener_may_be_the_beginning_of_a_longer_one():
    """As "i see" of "i see a"."""
    form = frozenset({'begins with "i see a"', 'ends with "."'})
    assert has_traits(form, {'begins with "i see"'})
    assert has_traits(form, {'ends with "."', 'begins with "i see a"'})
    assert not has_traits(form, {'begins with "i se"'})
    assert not has_traits(form, {"upper case"})
