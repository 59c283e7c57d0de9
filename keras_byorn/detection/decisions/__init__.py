"""Decisions: from plausibilities to the examples that are suspect."""

from keras_byorn.detection.decisions.conformal_threshold import (
    ConformalThreshold,
)
from keras_byorn.detection.decisions.decision import Decision, Flags
from keras_byorn.detection.decisions.flag_fraction import FlagFraction
from keras_byorn.detection.decisions.hold_out import HoldOut
from keras_byorn.detection.decisions.mixture_threshold import (
    MixtureThreshold,
)
from keras_byorn.detection.decisions.threshold import Threshold

__all__ = [
    "Decision",
    "Flags",
    "Threshold",
    "HoldOut",
    "FlagFraction",
    "MixtureThreshold",
    "ConformalThreshold",
]
