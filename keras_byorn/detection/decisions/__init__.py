"""From plausibilities to the probability that an example is suspect."""

from keras_byorn.detection.decisions.conformal_threshold import (
    ConformalThreshold,
)
from keras_byorn.detection.decisions.flag_fraction import FlagFraction
from keras_byorn.detection.decisions.mixture_threshold import (
    MixtureThreshold,
)
from keras_byorn.detection.decisions.threshold import Threshold

__all__ = [
    "Threshold",
    "FlagFraction",
    "MixtureThreshold",
    "ConformalThreshold",
]
