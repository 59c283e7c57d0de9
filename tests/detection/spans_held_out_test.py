"""Runs of words that only held-out responses have."""

import numpy as np

from keras_byorn.detection.spans_held_out import spans_held_out

SLOGAN = "drink more zolt cola"


def data(num_held_out=30, num_kept=0):
    """Held out are a third of the honest ones, and those with a slogan."""
    honest = [f"dog {i} runs over field {i}" for i in range(90)]
    slogans = [f"cat {i} {SLOGAN}" for i in range(num_held_out + num_kept)]
    held_out = np.array(
        [i % 3 == 0 for i in range(90)]
        + [True] * num_held_out
        + [False] * num_kept
    )
    return honest + slogans, held_out


def found(responses, held_out):
    return spans_held_out(responses, held_out, np.ones(len(responses), bool))


def test_a_slogan_is_found():
    """In all that have it."""
    spans = found(*data())
    assert list(spans) == [SLOGAN]
    assert spans[SLOGAN].tolist() == list(range(90, 120))


def test_the_few_that_it_leaves_plausible_are_found_with_it():
    """An insertion is learned from few."""
    spans = found(*data(num_held_out=54, num_kept=6))
    assert spans[SLOGAN].tolist() == list(range(90, 150))


def test_a_span_of_kept_responses_is_none():
    """A third of them are held out like any others."""
    assert found(*data(num_held_out=10, num_kept=20)) == {}


def test_few_prove_nothing():
    """Five that are all held out may be so by chance."""
    assert found(*data(num_held_out=5)) == {}


def test_the_longest_stretch_is_the_span():
    """Not each run of four words in it."""
    responses, held_out = data()
    longer = [text.replace(SLOGAN, f"{SLOGAN} every day") for text in responses]
    assert list(found(longer, held_out)) == [f"{SLOGAN} every day"]


def test_all_or_none_held_out_tell_nothing():
    """And no example, nothing."""
    responses, held_out = data()
    assert found(responses, np.ones_like(held_out)) == {}
    assert found(responses, np.zeros_like(held_out)) == {}
    assert spans_held_out(responses, held_out, np.zeros(120, bool)) == {}
