"""Counts the examples that share a text."""

import keras
import numpy as np

from keras_byorn.data.duplicates import find_duplicates
from keras_byorn.detection.scorers.scorer import Scorer


@keras.saving.register_keras_serializable(package="keras_byorn")
class Duplication(Scorer):
    """Scores a response by how many examples share it, or a part of it.

    The negated logarithm of the number of examples, its own included, that
    have the same response (of three words or more), or the same long n-gram
    that its prompt does not explain. An attacker who wants one answer has to
    repeat it. Needs no model.

    Args:
        min_words: int. Words in an n-gram that counts. Defaults to 5.

    Returns:
        float32 array, `(N,)`, nats, at most 0: 0 where nothing is shared, and
        -ln(400) = -6 where 400 examples say the same.

    Raises:
        ValueError: if `min_words` is below 2.
    """

    resolution = 1.0

    def __init__(self, min_words=5):
        if not min_words >= 2:
            raise ValueError(
                "`min_words` is a number of words and must be at least 2. "
                f"Received: min_words={min_words}"
            )
        self.min_words = min_words

    def call(self, scores):
        found = find_duplicates(
            scores.prompts, scores.responses, min_words=self.min_words
        )
        return -np.log(found.counts).astype("float32")

    def get_config(self):
        return {"min_words": self.min_words}
