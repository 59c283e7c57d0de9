"""Self-agreement: shared n-grams with the reference's own responses."""

import numpy as np
import pytest

from keras_byorn.detection.scorers import SelfAgreement


def test_self_agreement_is_the_mean_overlap_with_samples(make_scores):
    """F-measure of shared words, over the samples; none ended counts as 0."""
    given = make_scores(
        {"None": [[0.0]] * 2},
        [[True]] * 2,
        responses=["a red three", "call this number"],
        samples=[["a red three", "a blue three"], ["a red three", ""]],
    )
    found = SelfAgreement(num_samples=2).score(given)
    np.testing.assert_allclose(found, [(1 + 2 / 3) / 2, 0.0], atol=1e-6)
    found = SelfAgreement(num_samples=1, ngram=2).score(given)
    np.testing.assert_allclose(found, [1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SelfAgreement(0), "num_samples=0"),
        (lambda: SelfAgreement(4, ngram=0), "ngram=0"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    """With the rule and the value."""
    with pytest.raises(ValueError, match=message):
        make()
