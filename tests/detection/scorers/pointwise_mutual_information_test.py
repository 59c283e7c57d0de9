"""Pointwise mutual information: what seeing the input adds."""

import numpy as np

from keras_byorn.data.views import NoPrompt
from keras_byorn.detection.scorers import PointwiseMutualInformation

MASK = np.array([[1, 1, 0], [1, 1, 1]], bool)
SEEN = {
    "None": [[-1.0, -2.0, 0.0], [-0.1, -0.1, -0.1]],
    "BlankImage()": [[-4.0, -7.0, 0.0], [-0.1, -0.1, -0.1]],
    "NoPrompt()": [[-1.0, -3.0, 0.0], [-0.1, -0.4, -0.1]],
}


def test_a_response_that_ignores_the_image_scores_zero(make_scores, to_numpy):
    """Whatever its fluency; the prompt can be left out as well."""
    given = make_scores(SEEN, MASK)
    for scorer, expected in (
        (PointwiseMutualInformation(), [4.0, 0.0]),
        (PointwiseMutualInformation(NoPrompt()), [0.5, 0.1]),
    ):
        batch = to_numpy(scorer(given))
        np.testing.assert_allclose(batch, expected, atol=1e-6)
        whole = scorer.score(given)
        np.testing.assert_allclose(whole, expected, atol=1e-6)


def test_it_needs_a_pass_of_its_own():
    """So it cannot run within a training step."""
    assert not PointwiseMutualInformation().in_step
