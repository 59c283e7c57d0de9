"""The worst stretch of a response."""

import keras
from keras import ops

from keras_byorn.detection.scorers.mean_log_likelihood import (
    MeanLogLikelihood,
)
from keras_byorn.detection.scorers.scorer import Scorer, serialized
from keras_byorn.vlm.response_logits import mean_over_response


@keras.saving.register_keras_serializable(package="keras_byorn")
class WorstSpan(Scorer):
    """Scores a response by its least plausible window of tokens.

    A few foreign words hardly change the mean of a long response, but they do
    change its worst window. A response shorter than the window is scored as a
    whole.

    Args:
        size: int. Tokens in the window. Defaults to 4.
        of: a scorer with `token_values`, which are averaged over a window.
            Defaults to `MeanLogLikelihood()`.

    Returns:
        float32 tensor, `(B,)`, nats per token. Low is implausible.

    Raises:
        ValueError: if `size` is below 1 or `of` has no token values.

    Example:

    >>> mask = [[True, True, True]]
    >>> WorstSpan(2)([[-1.0, -5.0, -3.0]], mask)
    [-4.0]
    """

    def __init__(self, size=4, of=None):
        of = of or MeanLogLikelihood()
        if not size >= 1:
            raise ValueError(
                "`size` is a number of tokens and must be at least 1. "
                f"Received: size={size}"
            )
        if not hasattr(of, "token_values"):
            raise ValueError(
                "`of` must be a scorer with a value for each token, such as "
                f"`Regret()`. Received: of={of!r}"
            )
        self.size = int(size)
        self.of = of

    @property
    def in_step(self):
        return self.of.in_step

    def call(self, scores):
        values = self.of.token_values(scores)
        mask = ops.cast(scores.response_mask, "float32")
        values = ops.cast(values, "float32") * mask
        size = min(self.size, values.shape[1])
        # Sums of `size` neighbours; a window may hold no other tokens.
        sums, tokens = (
            sum(
                column[:, start : column.shape[1] - size + 1 + start]
                for start in range(size)
            )
            for column in (values, mask)
        )
        worst = ops.min(
            ops.where(tokens == size, sums / size, float("inf")), axis=-1
        )
        is_short = ops.sum(mask, axis=-1) < size
        return ops.where(is_short, mean_over_response(values, mask), worst)

    def get_config(self):
        return {"size": self.size, "of": serialized(self.of)}
