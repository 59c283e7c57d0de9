"""From logits to the log-likelihood of each response token."""

from keras import ops


def token_log_likelihoods(logits, y, response_mask):
    """Log-likelihood of the tokens `y`, in float32 whatever the logits are.

    Args:
        logits: float tensor, `(B, T, V)`.
        y: int tensor, `(B, T)`, the token that follows each position.
        response_mask: bool tensor, `(B, T)`.

    Returns:
        float32 tensor, `(B, T)`, nats; 0 off the response.
    """
    logits = ops.cast(logits, "float32")
    chosen = ops.take_along_axis(logits, ops.expand_dims(y, -1), axis=-1)
    log_likelihoods = ops.squeeze(chosen, -1) - ops.logsumexp(logits, axis=-1)
    return ops.where(response_mask, log_likelihoods, 0.0)


def mean_over_response(values, response_mask):
    """Mean of `(B, T)` values over the response tokens, `(B,)` float32."""
    mask = ops.cast(response_mask, "float32")
    total = ops.sum(ops.cast(values, "float32") * mask, axis=-1)
    return total / ops.maximum(ops.sum(mask, axis=-1), 1.0)
