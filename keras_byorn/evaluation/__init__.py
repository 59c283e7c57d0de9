"""Measures of attacks and defences."""

from keras_byorn.evaluation.attack_success import attack_success
from keras_byorn.evaluation.cider import cider
from keras_byorn.evaluation.clean_quality import clean_quality
from keras_byorn.evaluation.detection import detection
from keras_byorn.evaluation.responses import responder

__all__ = [
    "attack_success",
    "cider",
    "clean_quality",
    "detection",
    "responder",
]
