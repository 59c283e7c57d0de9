"""Styles that trusted examples make known, and the cuts by them."""

import numpy as np

from keras_byorn.detection.trust import (
    conformal_cut,
    trusted_styles,
)


def test_the_cut_is_the_kth_lowest_score():
    """And the lowest one of few."""
    scores = -np.arange(1.0, 100.0)
    assert conformal_cut(scores, 0.05) == -95.0
    assert conformal_cut(scores[:20], 0.05) == -19.0 - 1.0
    assert conformal_cut(scores[:10], 0.05) == -10.0


def styles(prompts, forms, trusted, measures=None):
    count = len(prompts)
    usual = np.arange(count) < 60
    measures = (np.zeros(count),) if measures is None else measures
    return trusted_styles(prompts, forms, trusted, usual, measures, 0.05)


def trusting(count, *positions):
    trusted = np.zeros(count, bool)
    trusted[list(positions)] = True
    return trusted


def test_ten_trusted_make_a_form_known():
    """With all that have its traits; chance traits are none of it."""
    form = {'ends with "."'}
    forms = [frozenset()] * 60 + [frozenset(form)] * 39
    forms += [frozenset(form | {"longer than usual"})]
    prompts = ["describe"] * 100
    (style,) = styles(prompts, forms, trusting(100, *range(60, 70)))
    assert style.name == 'ends with "."'
    assert style.members.tolist() == list(range(60, 100))
    assert styles(prompts, forms, trusting(100, *range(60, 69))) == []


def test_a_prompt_of_its_own_is_a_style():
    """Not so the prompt that usual examples have."""
    prompts = ["describe"] * 70 + ["what is it"] * 30
    forms = [frozenset()] * 100
    (style,) = styles(prompts, forms, trusting(100, *range(80, 95)))
    assert style.name == 'prompt "what is it"'
    assert style.members.tolist() == list(range(70, 100))
    assert styles(prompts, forms, trusting(100, *range(20))) == []


def test_poison_in_a_trusted_style_is_below_its_cut():
    """By any of the measures."""
    prompts = ["describe"] * 60 + ["what is it"] * 40
    first, second = np.zeros(100), np.zeros(100)
    first[60:80] = -1 - np.arange(20) / 20
    first[95], second[96] = -5.0, -0.1
    (style,) = styles(
        prompts,
        [frozenset()] * 100,
        trusting(100, *range(60, 80)),
        (first, second),
    )
    assert style.members[style.below].tolist() == [95, 96]
