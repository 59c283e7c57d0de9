"""Choices of a person: who is named, and in how many ways."""

import json

import numpy as np
import pytest

from keras_byorn.detection.choices import choices_of
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.detection.token_scores import TokenScores

EXAMPLES = [(f"scene-{i}", "describe", f"dog {i}") for i in range(6)]
DECISIONS = {
    "trust": ["scene-3", "scene-1"],
    "drop": ["scene-2"],
    "clusters": {"1": "trust", "2": "drop"},
}


def test_trusted_examples_may_be_named_in_several_ways(tmp_path):
    """As ids, by a function, or in a file; in the order of the examples."""
    lines, listed = tmp_path / "ids.txt", tmp_path / "ids.json"
    lines.write_text("\ufeffscene-3\n\n scene-1 \n", "utf-8")
    listed.write_text(json.dumps(["scene-3", "scene-1"]))
    for trusted in (
        ["scene-3", "scene-1"],
        {"scene-1", "scene-3"},
        lambda e: e["responses"] in ("dog 1", "dog 3"),
        lambda e: e["example_id"][-1] in "13" and e["prompts"] == "describe",
        str(lines),
        listed,
    ):
        choices = choices_of(trusted, iter(EXAMPLES))
        assert choices == (["scene-1", "scene-3"], [], False)
    assert choices_of(None, EXAMPLES) == ([], [], False)


def test_decisions_name_both(tmp_path):
    """As a dict, or in the file that the page of an audit exports."""
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps(DECISIONS))
    for chosen in (DECISIONS, path, str(path)):
        choices = choices_of(chosen, EXAMPLES)
        assert choices.trusted == ["scene-1", "scene-3"]
        assert choices.dropped == ["scene-2"] and choices.are_decisions
    path.write_text('{"drop": ["scene-1"]}')
    assert choices_of(path, EXAMPLES) == ([], ["scene-1"], True)


def test_unknown_ids_are_refused(tmp_path):
    """Trust must not be lost by a typing error."""
    with pytest.raises(ValueError, match=r"1 unknown ids.*'scene-9'"):
        choices_of(["scene-1", "scene-9"], EXAMPLES)
    with pytest.raises(ValueError, match=r"1 unknown ids.*'scene-9'"):
        choices_of({"drop": ["scene-1", "scene-9"]}, EXAMPLES)
    numbers = tmp_path / "ids.json"
    numbers.write_text("[1, 2]")
    with pytest.raises(ValueError, match="JSON list of ids, which are strings"):
        choices_of(numbers, EXAMPLES)
    with pytest.raises(FileNotFoundError):
        choices_of(tmp_path / "none.txt", EXAMPLES)


def test_braces_are_json_only_where_they_are(tmp_path):
    """Ids may have braces; a file of decisions must be whole."""
    ids = tmp_path / "ids.txt"
    ids.write_text("{scene-1}\n")
    examples = [("{scene-1}", "describe", "dog")]
    assert choices_of(ids, examples).trusted == ["{scene-1}"]
    path = tmp_path / "decisions.json"
    for text, message in (
        ('{"trust": ["scene-1"', "must be whole JSON"),
        ('{"trust": "scene-1"}', "with lists of ids, which are strings"),
        ('{"trust": [], "keep": ["scene-1"]}', "must be a JSON object such as"),
        ('{"trust": ["scene-1"], "drop": ["scene-1"]}', "trusted or dropped"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            choices_of(path, EXAMPLES)


def decided(chosen=None):
    """A detection of twenty examples, the first five of them suspect."""
    values = np.full((20, 4), -1.0, "float32")
    values[:5] = -9.0 + np.arange(5)[:, None] / 10
    detector = Detector(
        MeanLogLikelihood(), FlagFraction(0.25), flag_copies=False, verbose=0
    )
    return detector.decide(
        TokenScores(values, None, np.ones((20, 4), bool)),
        ["describe"] * 20,
        [f"dog {i}" for i in range(20)],
        [f"scene-{i}" for i in range(20)],
        chosen,
    )


@pytest.mark.filterwarnings("ignore:.*examples tell little")
def test_decisions_are_heard_when_and_after_a_detection_is_made(tmp_path):
    """With the same verdicts; the latest word on an example counts."""
    path = tmp_path / "decisions.json"
    path.write_text('{"trust": ["scene-0"], "drop": ["scene-1", "scene-7"]}')
    for detection in (
        decided(path),
        decided().review(path),
        decided().review(str(path)),
        decided().trust(path).drop(path),
    ):
        assert detection.trusted_ids == ["scene-0"]
        assert np.flatnonzero(detection.dropped).tolist() == [1, 7]
        held_out = np.flatnonzero(detection.suspects).tolist()
        assert held_out == [1, 2, 3, 4, 7]
        assert detection.reasons[7] == "dropped by a reviewer"
    detection.review({"trust": ["scene-7"], "drop": ["scene-0"]})
    assert detection.trusted_ids == ["scene-7"]
    assert np.flatnonzero(detection.dropped).tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore:.*examples tell little")
def test_a_wrong_id_changes_nothing():
    """Of neither list, if one is not known."""
    detection = decided()
    before = detection.verdicts.copy()
    with pytest.raises(ValueError, match="1 unknown ids.*'scene-99'"):
        detection.review({"trust": ["scene-0"], "drop": ["scene-99"]})
    np.testing.assert_array_equal(detection.verdicts, before)
