"""Token scores: the log-likelihoods of responses under a model."""

import typing

import numpy as np


class TokenScores(typing.NamedTuple):
    """Log-likelihoods of the tokens of responses, from one pass of a model.

    Arrays `(N, T)` of a data set, or tensors `(B, T)` of a batch within a
    compiled step.

    Args:
        log_likelihoods: float32, `(N, T)`, nats, at most 0. Position `t` is
            the log-likelihood of the token that follows it, given the image,
            the prompt and the response before it; 0 off the response.
        max_log_likelihoods: float32, `(N, T)`, nats. The log-likelihood of
            the likeliest token there; 0 off the response. `None` where it is
            not known: scorers such as `Regret` need it.
        response_mask: bool, `(N, T)`. `True` where the token that follows is
            of the response, its end token included.

    Example:

    >>> keras_byorn.TokenScores(
    ...     log_likelihoods=np.array([[0.0, -1.5, -0.1]], "float32"),
    ...     max_log_likelihoods=np.array([[0.0, -0.5, -0.1]], "float32"),
    ...     response_mask=np.array([[False, True, True]]),
    ... )
    """

    log_likelihoods: np.ndarray
    max_log_likelihoods: np.ndarray | None
    response_mask: np.ndarray
