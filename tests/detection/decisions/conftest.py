"""A helper of the tests of thresholds."""

import warnings

import pytest


@pytest.fixture(scope="session")
def flagged():
    """A function that fits a threshold, silently, and returns its flags."""

    def flag(threshold, scores, seed=0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            threshold.fit(scores, seed=seed)
        probability = threshold.suspect_probability_of(scores)
        assert probability.dtype == "float32"
        assert set(probability) <= {0.0, 1.0}
        return probability == 1.0

    return flag
