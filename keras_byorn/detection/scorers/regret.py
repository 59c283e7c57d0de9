"""Regret: the distance to the tokens that the reference finds likeliest."""

import keras

from keras_byorn.detection.scorers.scorer import TokenScorer


@keras.saving.register_keras_serializable(package="keras_byorn")
class Regret(TokenScorer):
    """Scores a response by how far it lags behind the likeliest tokens.

    The mean over tokens of `log p(y_t) - max_v log p(v)`, given the response
    before them. Where a style leaves many words open, the likeliest of them
    is unlikely too, so that an unlikely token costs little.

    Returns:
        float32 tensor, `(B,)`, nats per token, at most 0: 0 where the
        response is what greedy decoding would have written.

    Example:

    >>> scores = TokenScores([[-1.0, -3.0]], [[-1.0, -0.5]], [[True, True]])
    >>> Regret()(scores)
    [-1.25]
    """

    def token_values(self, scores):
        if scores.max_log_likelihoods is None:
            raise ValueError(
                "`Regret` needs `max_log_likelihoods`, the log-likelihood of "
                "the likeliest token at each position. Without it pass "
                "`scorer=MeanLogLikelihood()`. Received: token scores with "
                "max_log_likelihoods=None"
            )
        return scores.log_likelihoods - scores.max_log_likelihoods
