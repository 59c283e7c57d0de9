"""What a response loses against the reference's own choice."""

import keras

from keras_byorn.detection.scorers.scorer import TokenScorer


@keras.saving.register_keras_serializable(package="keras_byorn")
class Regret(TokenScorer):
    """Scores a response by how much it lags behind the preferred tokens.

    The mean over tokens of `log p(y_t) - max_v log p(v)`, given the response
    before them. Where a style leaves many words open, the likeliest of them
    is unlikely too, and a token is forgiven for being so.

    Returns:
        float32 tensor, `(B,)`, nats per token, at most 0: 0 where the
        response is what greedy decoding would have written.

    Example:

    >>> evidence = TokenEvidence([[-1.0, -3.0]], [[-1.0, -0.5]], [[True, True]])
    >>> Regret()(evidence)
    [-1.25]
    """

    def token_values(self, evidence):
        return evidence.log_likelihoods - evidence.preferred
