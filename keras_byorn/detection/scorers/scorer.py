"""The contract of every scorer."""

import keras
import numpy as np
from keras import ops

from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.vlm.response_logits import mean_over_response

# Values that a scorer computes with at once: 16 MiB in float32.
MAX_BLOCK = 2**22


class Scorer:
    """Base class: one number for a response, low where it is implausible.

    A subclass computes `call(scores)` and is registered with Keras for saving.
    `DatasetScores` has everything that it may ask for; a scorer that needs no
    more than `TokenScores` also works within a compiled training step
    (`in_step`), and computes in `keras.ops`.

    Attributes:
        in_step: bool. Whether a batch's own tokens are all that it needs.
        resolution: float. The least spread of scores that is meaningful, in
            the scorer's unit. An `Ensemble` scales by it where the
            spread is smaller.
    """

    in_step = False
    resolution = 0.05

    def fit(self, scores):
        """Fits the scorer to a whole data set. Does nothing by default.

        Args:
            scores: a `DatasetScores`.

        Returns:
            The scorer itself.
        """
        return self

    def __call__(self, scores, response_mask=None):
        """Scores the responses of a batch, within a step.

        Args:
            scores: `TokenScores`; or, for scorers that need no more,
                log-likelihoods, float tensor `(B, T)`, nats.
            response_mask: bool tensor, `(B, T)`, with log-likelihoods only.

        Returns:
            float32 tensor, `(B,)`. Low is implausible.
        """
        if response_mask is not None:
            scores = TokenScores(scores, None, response_mask)
        return self.call(scores)

    def call(self, scores):
        raise NotImplementedError

    def score(self, scores):
        """Scores the responses of a data set, in blocks and only once.

        Args:
            scores: a `DatasetScores`.

        Returns:
            float32 array, `(N,)`. Low is implausible.
        """
        return scores.computed_once(self, lambda: self._score(scores))

    def parts(self, scores):
        """Returns the scores that this score is made of, for an audit.

        Args:
            scores: a `DatasetScores`.

        Returns:
            A dict from a scorer's name to its scores, float array `(N,)`.
        """
        return {repr(self): self.score(scores)}

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**deserialized(config))

    def __repr__(self):
        values = (f"{k}={getattr(self, k)!r}" for k in self.get_config())
        return f"{type(self).__name__}({', '.join(values)})"

    def _score(self, scores):
        if not self.in_step:
            return _to_numpy(self.call(scores))
        return in_blocks(
            lambda *columns: self.call(TokenScores(*columns)),
            scores.log_likelihoods,
            scores.max_log_likelihoods,
            scores.response_mask,
        )


class TokenScorer(Scorer):
    """Base class: the mean over a response of one value for each token.

    A subclass computes `token_values(scores)`, float `(B, T)`, nats.
    """

    in_step = True

    def token_values(self, scores):
        raise NotImplementedError

    def call(self, scores):
        return mean_over_response(
            self.token_values(scores), scores.response_mask
        )

    def _score(self, scores):
        if self.in_step:
            return super()._score(scores)
        values = np.asarray(self.token_values(scores))
        return in_blocks(mean_over_response, values, scores.response_mask)


def in_blocks(function, *arrays):
    """Applies a function of tensors to blocks of rows of arrays.

    The device never holds more than one block.

    Args:
        function: callable from tensors `(B, T)` to a tensor `(B,)`.
        *arrays: arrays `(N, T)`; `None` is handed on as it is.

    Returns:
        float32 array, `(N,)`.
    """
    count, length = next(a.shape for a in arrays if a is not None)
    rows = max(1, MAX_BLOCK // max(1, length))

    def block(start):
        parts = (
            None
            if a is None
            else ops.convert_to_tensor(a[start : start + rows])
            for a in arrays
        )
        return _to_numpy(function(*parts))

    blocks = [block(start) for start in range(0, count, rows)]
    return np.concatenate(blocks) if blocks else np.zeros(0, "float32")


def serialized(value):
    """Serializes a scorer, a view or a list of them, for `get_config`."""
    if isinstance(value, (list, tuple)):
        return [serialized(item) for item in value]
    return keras.saving.serialize_keras_object(value)


def deserialized(config):
    """Deserializes the objects of a configuration."""
    return {
        key: keras.saving.deserialize_keras_object(value)
        for key, value in config.items()
    }


def _to_numpy(scores):
    return np.asarray(ops.convert_to_numpy(scores), "float32")
