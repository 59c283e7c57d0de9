"""Trusted examples: who they are, and the styles that they make known."""

import json

import numpy as np
import pytest

from keras_byorn.detection.trust import (
    conformal_cut,
    trusted_ids,
    trusted_styles,
)

EXAMPLES = [(f"scene-{i}", "describe", f"dog {i}") for i in range(6)]


def test_trusted_examples_may_be_named_in_several_ways(tmp_path):
    """As ids, by a function, or in a file; in the order of the examples."""
    lines, listed = tmp_path / "ids.txt", tmp_path / "ids.json"
    lines.write_text("\ufeffscene-3\n\n scene-1 \n", "utf-8")
    listed.write_text(json.dumps(["scene-3", "scene-1"]))
    decisions = tmp_path / "decisions.json"
    decisions.write_text(
        json.dumps(
            {
                "trust": ["scene-3", "scene-1"],
                "drop": ["scene-2"],
                "clusters": {"1": "trust", "2": "drop"},
            }
        )
    )
    for trusted in (
        ["scene-3", "scene-1"],
        {"scene-1", "scene-3"},
        lambda e: e["responses"] in ("dog 1", "dog 3"),
        lambda e: e["example_id"][-1] in "13" and e["prompts"] == "describe",
        str(lines),
        listed,
        decisions,
        str(decisions),
    ):
        assert trusted_ids(trusted, iter(EXAMPLES)) == ["scene-1", "scene-3"]
    assert trusted_ids(None, EXAMPLES) == []


def test_unknown_ids_are_refused(tmp_path):
    """Trust must not be lost by a typing error."""
    with pytest.raises(ValueError, match=r"1 unknown ids.*'scene-9'"):
        trusted_ids(["scene-1", "scene-9"], EXAMPLES)
    numbers = tmp_path / "ids.json"
    numbers.write_text("[1, 2]")
    with pytest.raises(ValueError, match="JSON list of ids, which are strings"):
        trusted_ids(numbers, EXAMPLES)
    with pytest.raises(FileNotFoundError):
        trusted_ids(tmp_path / "none.txt", EXAMPLES)


def test_braces_are_json_only_where_they_are(tmp_path):
    """Ids may have braces; a file of decisions must be whole."""
    ids = tmp_path / "ids.txt"
    ids.write_text("{scene-1}\n")
    examples = [("{scene-1}", "describe", "dog")]
    assert trusted_ids(ids, examples) == ["{scene-1}"]
    decisions = tmp_path / "decisions.json"
    for text, message in (
        ('{"trust": ["scene-1"', "must be whole JSON"),
        ('{"drop": ["scene-1"]}', 'a JSON object with such a list as its "tru'),
        ('{"trust": "scene-1"}', 'a JSON object with such a list as its "tru'),
    ):
        decisions.write_text(text)
        with pytest.raises(ValueError, match=message):
            trusted_ids(decisions, EXAMPLES)
    decisions.write_text('{"trust": [], "drop": ["scene-1"]}')
    assert trusted_ids(decisions, EXAMPLES) == []


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
