"""From plausibilities to the probability that an example is suspect."""

from keras_byorn.plausibility.thresholds.conformal_threshold import (
    ConformalThreshold,
)
from keras_byorn.plausibility.thresholds.flag_fraction import FlagFraction
from keras_byorn.plausibility.thresholds.mixture_threshold import (
    MixtureThreshold,
)
from keras_byorn.plausibility.thresholds.threshold import Threshold

__all__ = [
    "Threshold",
    "FlagFraction",
    "MixtureThreshold",
    "ConformalThreshold",
]
