"""Several scorers in one."""

import keras
import numpy as np
from keras import ops

from keras_byorn.detection.robust_scale import upper_scale
from keras_byorn.detection.scorers.scorer import Scorer, serialized


@keras.saving.register_keras_serializable(package="keras_byorn")
class Ensemble(Scorer):
    """Scores a response by the scorer that doubts it most.

    Each score is first put on one scale, without labels: its distance from
    the upper quartile, in robust standard deviations. These are taken from the
    upper quarter alone, for poisoned responses lie below. The ensemble's score
    is the least of them, so that one scorer suffices to call a response
    implausible.

    Args:
        scorers: list of scorers.
        centers, scales: lists of floats, one for each scorer. Set by `fit`.

    Returns:
        float32 tensor, `(N,)`, in robust standard deviations from the upper
        quartile of the data set. Low is implausible.

    Raises:
        ValueError: if `scorers` is empty.

    Example:

    >>> Ensemble([Regret(), WorstSpan(4), Duplication()])
    """

    # Of scores in standard deviations.
    resolution = 1.0

    def __init__(self, scorers, centers=None, scales=None):
        if not scorers:
            raise ValueError(
                "`scorers` must have at least one scorer. "
                f"Received: scorers={scorers}"
            )
        self.scorers = list(scorers)
        self.centers = centers
        self.scales = scales

    @property
    def in_step(self):
        return all(scorer.in_step for scorer in self.scorers)

    def fit(self, scores):
        self.centers, self.scales = [], []
        for scorer in self.scorers:
            values = scorer.fit(scores).score(scores)
            center, spread = upper_scale(values, scorer.resolution)
            self.centers.append(center)
            self.scales.append(spread)
        return self

    def call(self, scores):
        self._check_fitted()
        return ops.min(
            ops.stack(
                [
                    (ops.cast(scorer(scores), "float32") - center) / scale
                    for scorer, center, scale in self._scaled()
                ]
            ),
            axis=0,
        )

    def score(self, scores):
        # Not once for all: a later `fit` gives other centers.
        self._check_fitted()
        return np.min(
            [
                (scorer.score(scores) - np.float32(center)) / np.float32(scale)
                for scorer, center, scale in self._scaled()
            ],
            axis=0,
        )

    def parts(self, scores):
        parts = [scorer.parts(scores) for scorer in self.scorers]
        return {name: values for part in parts for name, values in part.items()}

    def get_config(self):
        return {
            "scorers": serialized(self.scorers),
            "centers": self.centers,
            "scales": self.scales,
        }

    def __repr__(self):
        return f"Ensemble({', '.join(map(repr, self.scorers))})"

    def _scaled(self):
        return zip(self.scorers, self.centers, self.scales)

    def _check_fitted(self):
        if self.centers is None:
            raise ValueError(
                "An `Ensemble` must be fitted before it scores: call "
                "`ensemble.fit(scores)`. Received: an ensemble without centers"
            )
