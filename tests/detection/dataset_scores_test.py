"""Scores of a data set: checked once, and told what needs a model."""

import numpy as np
import pytest

from keras_byorn.data.views import BlankImage
from keras_byorn.detection.dataset_scores import DatasetScores
from keras_byorn.detection.token_scores import TokenScores

MASK = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1]], bool)
IDS = ["a", "b", "c"]


def make(mask=MASK, maxima=True, ids=IDS, prompts=3, responses=3, **changes):
    values = np.where(mask, -1.5, 0.0)
    fields = {
        "log_likelihoods": values,
        "max_log_likelihoods": values / 2 if maxima else None,
        "response_mask": mask,
        **changes,
    }
    return DatasetScores(
        TokenScores(**fields), ["p"] * prompts, ["r"] * responses, ids
    )


def test_arrays_are_float32_and_bool():
    """Whatever comes: lists, float64, ints."""
    scores = make(MASK.astype(int).tolist(), ids=[1, 2, 3])
    assert len(scores) == 3 and scores.example_ids == ["1", "2", "3"]
    assert scores.log_likelihoods.dtype == "float32"
    assert scores.max_log_likelihoods.dtype == "float32"
    assert scores.response_mask.dtype == bool
    assert scores.under(None) is scores.token_scores
    assert make(maxima=False).max_log_likelihoods is None


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"log_likelihoods": np.zeros((3, 5))}, r"one shape.*\(3, 5\)"),
        ({"max_log_likelihoods": np.zeros((2, 4))}, r"one shape.*\(2, 4\)"),
        (
            {"mask": MASK[0], "log_likelihoods": np.zeros(4)},
            r"one shape, \(N, T\).*\(4,\)",
        ),
        ({"ids": ["a", "b"]}, "3 rows for 2 examples"),
        ({"ids": ["a", "b", "a"]}, "must be unique.*repeatedly: 'a'$"),
        ({"ids": [1, "1", 2]}, "must be unique.*repeatedly: '1'$"),
        ({"prompts": 2}, "as many as.*2 prompts and 3 resp.* for 3 ids"),
        ({"responses": 4}, "as many as.*3 prompts and 4 resp.* for 3 ids"),
    ],
)
def test_other_shapes_and_counts_are_refused(changes, message):
    """With those that came."""
    with pytest.raises(ValueError, match=message):
        make(**changes)


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
@pytest.mark.parametrize("name", ["log_likelihoods", "max_log_likelihoods"])
def test_scores_that_are_not_finite_are_refused(name, bad):
    """By id; off the response nothing matters, and is taken for 0."""
    values = np.where(MASK, -1.0, bad)
    found = getattr(make(**{name: values}), name)
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, np.where(MASK, -1.0, 0.0))
    values[1, 2] = bad
    message = rf"`token_scores.{name}`.*bfloat16.*1 examples.*: 'second'$"
    with pytest.raises(ValueError, match=message):
        make(**{name: values}, ids=["first", "second", "third"])


def test_a_view_and_samples_need_the_model():
    """With the call that has one."""
    with pytest.raises(ValueError, match=r"keras_byorn.detect.*BlankImage\(\)"):
        make().under(BlankImage())
    with pytest.raises(ValueError, match="samples.*keras_byorn.detect"):
        make().samples(4)


def test_a_scorer_is_asked_once():
    """By its identity: an equal one may have been fitted to other data."""
    scores, calls = make(), []

    def compute():
        calls.append(1)
        return len(calls)

    one, other = [], []
    assert [scores.computed_once(one, compute) for _ in range(2)] == [1, 1]
    assert scores.computed_once(other, compute) == 2
    for count in range(3, 30):  # a new object may get the place of a lost one
        assert scores.computed_once([], compute) == count
