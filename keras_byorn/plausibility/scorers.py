"""From the log-likelihoods of a response's tokens to its plausibility."""

import keras

from keras_byorn.plausibility.log_likelihoods import mean_over_response


class Scorer:
    """Base class: one number for a response, low where it is implausible.

    A subclass computes `call` with `keras.ops`, for it runs inside a compiled
    training step too, and is registered with Keras for saving.
    """

    def __call__(self, log_likelihoods, response_mask):
        return self.call(log_likelihoods, response_mask)

    def call(self, log_likelihoods, response_mask):
        raise NotImplementedError

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_byorn")
class MeanLogLikelihood(Scorer):
    """Scores a response by its mean log-likelihood per token.

    Call arguments:
        log_likelihoods: float tensor, `(B, T)`, nats. Position `t` is the
            log-likelihood of the token that follows it under the reference.
        response_mask: bool tensor, `(B, T)`. `False` on prompt and padding.

    Returns:
        float32 tensor, `(B,)`, nats per token, at most 0. Low is implausible.

    Example:

    >>> MeanLogLikelihood()([[-1.0, -3.0, 0.0]], [[True, True, False]])
    [-2.0]

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947), the score
          of the method's first step, with the sign turned.
    """

    def call(self, log_likelihoods, response_mask):
        return mean_over_response(log_likelihoods, response_mask)
