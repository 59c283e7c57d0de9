"""From logits to what is known of each response token."""

import typing

from keras import ops


class TokenEvidence(typing.NamedTuple):
    """What one pass of a model says of the response tokens.

    Args:
        log_likelihoods: float tensor, `(B, T)`, nats; 0 off the response.
            Position `t` is the log-likelihood of the token that follows it.
        preferred: float tensor, `(B, T)`, nats; 0 off the response. The
            log-likelihood of the token that the model liked best there.
        response_mask: bool tensor, `(B, T)`.
    """

    log_likelihoods: typing.Any
    preferred: typing.Any
    response_mask: typing.Any


def token_evidence(logits, y, response_mask):
    """Reads the evidence off the logits, in float32 whatever they are.

    Args:
        logits: float tensor, `(B, T, V)`.
        y: int tensor, `(B, T)`, the token that follows each position.
        response_mask: bool tensor, `(B, T)`.

    Returns:
        A `TokenEvidence` of float32 tensors.
    """
    chosen, preferred = of_chosen_and_preferred(logits, y)
    return TokenEvidence(
        ops.where(response_mask, chosen, 0.0),
        ops.where(response_mask, preferred, 0.0),
        response_mask,
    )


def of_chosen_and_preferred(logits, y):
    """Log-likelihoods of the tokens `y`, and of the likeliest, in float32.

    Args:
        logits: float tensor, `(..., V)`.
        y: int tensor, `(...)`.

    Returns:
        A pair of float32 tensors, `(...)`, nats.
    """
    logits = ops.cast(logits, "float32")
    chosen = ops.take_along_axis(logits, ops.expand_dims(y, -1), axis=-1)
    norm = ops.logsumexp(logits, axis=-1)
    return ops.squeeze(chosen, -1) - norm, ops.max(logits, axis=-1) - norm


def token_log_likelihoods(logits, y, response_mask):
    """Log-likelihood of the tokens `y`, see `token_evidence`."""
    return token_evidence(logits, y, response_mask).log_likelihoods


def mean_over_response(values, response_mask):
    """Mean of `(B, T)` values over the response tokens, `(B,)` float32."""
    mask = ops.cast(response_mask, "float32")
    total = ops.sum(ops.cast(values, "float32") * mask, axis=-1)
    return total / ops.maximum(ops.sum(mask, axis=-1), 1.0)
