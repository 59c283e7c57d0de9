"""View consistency: the fall under the worst view."""

import numpy as np
import pytest

from keras_byorn.data.views import Blur, Crop
from keras_byorn.detection.scorers import Regret, ViewConsistency


def test_view_consistency_is_the_fall_under_the_worst_view(make_scores):
    """Each view is taken against its median: a hard view is hard for all."""
    views = [Blur(), Crop()]
    seen = {
        "None": [[-1.0], [-1.2], [-0.8]],
        repr(views[0]): [[-3.0], [-3.1], [-9.0]],
        repr(views[1]): [[-2.0], [-2.5], [-2.0]],
    }
    scores = ViewConsistency(views).score(
        make_scores(seen, np.ones((3, 1), bool))
    )
    assert scores.dtype == "float32"
    expected = -1.0 + np.array([min(0.1, 0.0), min(0, -0.5), min(-5.9, 0.0)])
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_another_scorer_may_look_at_the_views(make_scores):
    """Here regret: the level is its median, too."""
    views = [Blur()]
    seen = {"None": [[-1.0], [-1.0]], repr(views[0]): [[-2.0], [-4.0]]}
    maxima = np.full((2, 1), -0.5, "float32")
    given = make_scores(seen, np.ones((2, 1), bool), maxima)
    found = ViewConsistency(views, of=Regret()).score(given)
    np.testing.assert_allclose(found, [-0.5 + 1.0, -0.5 - 1.0], atol=1e-6)


def test_no_view_is_refused():
    """There would be nothing to fall under."""
    with pytest.raises(ValueError, match=r"`views`.*views=\[\]"):
        ViewConsistency([])
