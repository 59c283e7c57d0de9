"""Defences to compare with, all behind one call.

>>> defence = baselines.make_defence("bye")
>>> fit = defence.fit(vlm, examples, options)
>>> responses = fit.responder()(list(test_examples))
"""

from keras_byorn.baselines.attention_entropy import AttentionEntropy
from keras_byorn.baselines.byorn import (
    BYORn,
    FilterOnly,
    NoDefence,
    OracleReplacement,
    PaperBYORn,
    RandomReplacement,
)
from keras_byorn.baselines.defence import Defence, DefendedFit, FitOptions
from keras_byorn.baselines.flags import OracleFlags, RandomFlags
from keras_byorn.baselines.loss_isolation import LossIsolation
from keras_byorn.baselines.onion import Onion
from keras_byorn.baselines.reference_filtration import ReferenceFiltration
from keras_byorn.baselines.reference_penalty import ReferencePenalty
from keras_byorn.baselines.registry import DEFENCES, make_defence

__all__ = [
    "DEFENCES",
    "AttentionEntropy",
    "BYORn",
    "Defence",
    "DefendedFit",
    "FilterOnly",
    "FitOptions",
    "LossIsolation",
    "NoDefence",
    "Onion",
    "OracleFlags",
    "OracleReplacement",
    "PaperBYORn",
    "RandomFlags",
    "RandomReplacement",
    "ReferenceFiltration",
    "ReferencePenalty",
    "make_defence",
]
