"""The contract of every scorer."""

import keras
import numpy as np
from keras import ops

from keras_byorn.detection.token_scores import (
    TokenEvidence,
    mean_over_response,
)


class Scorer:
    """Base class: one number for a response, low where it is implausible.

    A subclass computes `call(evidence)` and is registered with Keras for
    saving. What it may ask of the evidence is in `Evidence`; a scorer that
    asks for no more than `TokenEvidence` has also works within a compiled
    training step (`in_step`), and computes in `keras.ops`.

    Attributes:
        in_step: bool. Whether a batch's own tokens are all that it needs.
        resolution: float. A spread of scores that means nothing, in the
            scorer's unit. An `Ensemble` never takes one for less.
    """

    in_step = False
    resolution = 0.05

    def fit(self, evidence):
        """Learns what it has to know of the whole data set; by default none.

        Args:
            evidence: an `Evidence`.

        Returns:
            The scorer itself.
        """
        return self

    def __call__(self, evidence, response_mask=None):
        """Scores responses.

        Args:
            evidence: an `Evidence` or a `TokenEvidence`; or, for scorers that
                need no more, log-likelihoods, float tensor `(B, T)`, nats.
            response_mask: bool tensor, `(B, T)`, with log-likelihoods only.

        Returns:
            float32 tensor, `(B,)`. Low is implausible.
        """
        if response_mask is not None:
            evidence = TokenEvidence(evidence, None, response_mask)
        return self.call(evidence)

    def call(self, evidence):
        raise NotImplementedError

    def parts(self, evidence):
        """What the score is made of, for the audit.

        Returns:
            A dict from a scorer's name to its scores, float array `(N,)`.
        """
        return {repr(self): np.asarray(ops.convert_to_numpy(self(evidence)))}

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**deserialized(config))

    def __repr__(self):
        values = (f"{k}={getattr(self, k)!r}" for k in self.get_config())
        return f"{type(self).__name__}({', '.join(values)})"


class TokenScorer(Scorer):
    """Base class: the mean over a response of one value for each token.

    A subclass computes `token_values(evidence)`, float `(B, T)`, nats.
    """

    in_step = True

    def token_values(self, evidence):
        raise NotImplementedError

    def call(self, evidence):
        return mean_over_response(
            self.token_values(evidence), evidence.response_mask
        )


def serialized(value):
    """A scorer, a view or a list of them, for `get_config`."""
    if isinstance(value, (list, tuple)):
        return [serialized(item) for item in value]
    return keras.saving.serialize_keras_object(value)


def deserialized(config):
    """A configuration whose objects are objects again."""
    return {
        key: keras.saving.deserialize_keras_object(value)
        for key, value in config.items()
    }
