"""Mean log-likelihood, the score of the paper."""

import keras

from keras_byorn.detection.scorers.scorer import TokenScorer


@keras.saving.register_keras_serializable(package="keras_byorn")
class MeanLogLikelihood(TokenScorer):
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

    def token_values(self, scores):
        return scores.log_likelihoods
