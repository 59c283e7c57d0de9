"""The loss, in `keras.ops`, for every backend."""

from keras import ops

from keras_byorn.vlm.response_logits import mean_over_response


def example_losses(log_likelihoods, response_mask):
    """Computes the mean negative log-likelihood over a response's tokens.

    Args:
        log_likelihoods: float tensor, `(B, T)`, nats.
        response_mask: bool tensor, `(B, T)`.

    Returns:
        float32 tensor, `(B,)`, nats per token.
    """
    return -mean_over_response(log_likelihoods, response_mask)


def weighted_mean(losses, weight):
    """Computes the mean of losses by weight; 0 where no row has any.

    With weight `1 - P` on originals and `P` on replacements this is
    `(1 - P)·L(θ|y) + P·L(θ|t̂)` per example, the objective of
    [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947).

    Args:
        losses: float tensor, `(B,)`, nats per token.
        weight: float tensor, `(B,)`, not negative.

    Returns:
        float32 scalar.
    """
    weight = ops.cast(weight, "float32")
    total = ops.sum(weight)
    return ops.sum(losses * weight) / ops.where(total > 0, total, 1.0)
