"""The worst window of a response, against a plain loop."""

import numpy as np
import pytest

from keras_byorn.detection.scorers import (
    Duplication,
    MeanLogLikelihood,
    PointwiseMutualInformation,
    WorstSpan,
)


@pytest.mark.parametrize("size", [1, 3, 4, 12, 40])
def test_worst_span_is_that_of_a_plain_loop(size, make_random_scores, to_numpy):
    """Windows hold response tokens only; a short response is one window."""
    given = make_random_scores()
    expected = []
    for values, mask in zip(given.log_likelihoods, given.response_mask):
        values = values[mask].astype("float64")
        width = min(size, len(values))
        expected.append(
            min(
                values[start : start + width].mean()
                for start in range(len(values) - width + 1)
            )
        )
    scores = to_numpy(WorstSpan(size)(given))
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_worst_span_sees_a_few_words_in_many(to_numpy):
    """Four foreign words weigh as much in 8 tokens as in 64."""
    scores, means = [], []
    for length in (8, 64):
        values = np.full((1, length), -0.1, "float32")
        values[0, 2:6] = -9.0
        mask = np.ones((1, length), bool)
        scores.append(to_numpy(WorstSpan(4)(values, mask))[0])
        means.append(to_numpy(MeanLogLikelihood()(values, mask))[0])
    assert scores == pytest.approx([-9.0, -9.0])
    assert means[1] > 5 * means[0]


def test_only_scorers_of_tokens_work_in_a_step():
    """The window needs no more than its scorer."""
    assert WorstSpan(4).in_step
    assert not WorstSpan(2, PointwiseMutualInformation()).in_step


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WorstSpan(0), "`size`.*size=0"),
        (lambda: WorstSpan(4, Duplication()), "`of`.*Duplication"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    """With the rule and the value."""
    with pytest.raises(ValueError, match=message):
        make()
