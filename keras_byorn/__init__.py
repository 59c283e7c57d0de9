"""Fine-tune vision-language models without learning the data's backdoors."""

from keras_byorn.audit import Audit
from keras_byorn.data.examples import Examples
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
from keras_byorn.detection.decisions import (
    ConformalThreshold,
    FlagFraction,
    MixtureThreshold,
)
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.training.target_store import TargetStore
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.tiny import tiny_preset

__version__ = "0.1.0"

# In the order of the pipeline.
__all__ = [
    "Examples",
    "FrozenReference",
    "MeanLogLikelihood",
    "Regret",
    "WorstSpan",
    "PointwiseMutualInformation",
    "ViewConsistency",
    "SelfAgreement",
    "Duplication",
    "Ensemble",
    "FlagFraction",
    "MixtureThreshold",
    "ConformalThreshold",
    "TargetStore",
    "TargetBatches",
    "BYORnModel",
    "BYORnCallback",
    "Audit",
    "tiny_preset",
]
