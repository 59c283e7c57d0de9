"""Scorers: from token scores to the plausibility of a response."""

from keras_byorn.detection.scorers.duplication import Duplication
from keras_byorn.detection.scorers.ensemble import Ensemble
from keras_byorn.detection.scorers.mean_log_likelihood import (
    MeanLogLikelihood,
)
from keras_byorn.detection.scorers.pointwise_mutual_information import (
    PointwiseMutualInformation,
)
from keras_byorn.detection.scorers.regret import Regret
from keras_byorn.detection.scorers.scorer import Scorer, TokenScorer
from keras_byorn.detection.scorers.self_agreement import SelfAgreement
from keras_byorn.detection.scorers.view_consistency import ViewConsistency
from keras_byorn.detection.scorers.worst_span import WorstSpan

__all__ = [
    "Scorer",
    "TokenScorer",
    "MeanLogLikelihood",
    "Regret",
    "WorstSpan",
    "PointwiseMutualInformation",
    "ViewConsistency",
    "SelfAgreement",
    "Duplication",
    "Ensemble",
]
