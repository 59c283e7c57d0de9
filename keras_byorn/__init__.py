"""Fine-tune vision-language models without learning the data's backdoors."""

from keras_byorn.audit import Audit
from keras_byorn.data.examples import Examples
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.detection.decisions import (
    ConformalThreshold,
    FlagFraction,
    HoldOut,
    MixtureThreshold,
)
from keras_byorn.detection.detect import detect
from keras_byorn.detection.detection import Detection
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.scorers import (
    Duplication,
    Ensemble,
    MeanLogLikelihood,
    PointwiseMutualInformation,
    Regret,
    SelfAgreement,
    ViewConsistency,
    WorstSpan,
)
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.training.target_store import TargetStore
from keras_byorn.version import __version__ as __version__
from keras_byorn.vlm.tiny_models import tiny_preset

# In the order of the way of the data.
__all__ = [
    "Examples",
    "PreparedExamples",
    "FrozenReference",
    "TokenScores",
    "MeanLogLikelihood",
    "Regret",
    "WorstSpan",
    "PointwiseMutualInformation",
    "ViewConsistency",
    "SelfAgreement",
    "Duplication",
    "Ensemble",
    "HoldOut",
    "FlagFraction",
    "MixtureThreshold",
    "ConformalThreshold",
    "Detector",
    "detect",
    "Detection",
    "TargetStore",
    "TargetBatches",
    "BYORnModel",
    "BYORnCallback",
    "Audit",
    "tiny_preset",
]
