"""Scores in plain numbers, to be scored without a model."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.dataset_scores import DatasetScores
from keras_byorn.detection.token_scores import TokenScores


class GivenScores(DatasetScores):
    """Scores of examples under several views, and samples, as given.

    Args:
        seen: dict from a view's repr (`"None"` for the examples as they are)
            to log-likelihoods, `(N, T)`.
        response_mask: bool array, `(N, T)`.
        maxima: optional float array, `(N, T)`.
        samples: optional list of N lists of strings.
        prompts, responses: optional lists of N strings.
    """

    def __init__(
        self,
        seen,
        response_mask,
        maxima=None,
        samples=None,
        prompts=None,
        responses=None,
    ):
        count = len(response_mask)
        self._seen = {
            view: TokenScores(
                np.asarray(values, "float32"),
                maxima,
                np.asarray(response_mask, bool),
            )
            for view, values in seen.items()
        }
        self._samples = samples
        super().__init__(
            self._seen["None"],
            prompts or ["what"] * count,
            responses or [f"answer {index}" for index in range(count)],
            range(count),
        )

    def under(self, view):
        return self._seen[repr(view)]

    def samples(self, count, seed):
        return [row[:count] for row in self._samples]


@pytest.fixture(scope="session")
def make_scores():
    """The class `GivenScores`."""
    return GivenScores


@pytest.fixture(scope="session")
def make_random_scores():
    """A function that makes scores of responses of all lengths, at odd places.

    A token at the likeliest one's place loses 0.1 nats to it.
    """

    def make(seed=0, num_examples=50, length=12, views=()):
        rng = np.random.default_rng(seed)
        mask = np.zeros((num_examples, length), bool)
        for index, row in enumerate(mask):
            size = 1 + index % length
            start = rng.integers(0, length - size + 1)
            row[start : start + size] = True
        seen = {
            view: np.where(mask, -rng.gamma(1, 2, mask.shape), 0)
            for view in ("None", *map(repr, views))
        }
        maxima = np.where(mask, -0.1, 0).astype("float32")
        return GivenScores(seen, mask, maxima)

    return make


@pytest.fixture(scope="session")
def to_numpy():
    """The function that makes NumPy arrays of tensors."""
    return keras.ops.convert_to_numpy
