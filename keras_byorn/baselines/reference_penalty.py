"""A penalty that keeps the student near the pretrained model."""

from keras import ops

from keras_byorn.baselines.defence import (
    Defence,
    DefendedFit,
    batches_for,
    train,
)
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.objective import example_losses
from keras_byorn.vlm.response_logits import (
    blocks_for,
    chosen_and_max,
    decode,
    gather,
    in_blocks,
    mean_over_response,
    spread,
)


def divergence(reference_logits, logits, temperature=1.0):
    """Computes the Kullback-Leibler divergence of next-token distributions.

    `KL(softmax(r / t) || softmax(s / t))` of reference logits r and student
    logits s.

    Args:
        reference_logits, logits: float tensors, `(..., V)`.
        temperature: float. Defaults to 1.

    Returns:
        float32 tensor, `(...)`, nats.
    """
    reference, student = (
        ops.log_softmax(ops.cast(values, "float32") / temperature)
        for values in (reference_logits, logits)
    )
    return ops.sum(ops.exp(reference) * (reference - student), axis=-1)


class PenalizedModel(BYORnModel):
    """Adds to the loss of an example its divergence from the reference.

    Attributes:
        strength: float. Weight of the penalty.
        temperature: float. Of the distributions that are compared.
    """

    strength = 1.0
    temperature = 2.0

    def example_losses(self, x, y, response_mask, weight, extra, training):
        if not training:
            return super().example_losses(
                x, y, response_mask, weight, extra, training
            )
        log_likelihoods, divergences = self._measured(
            self._task.inputs_of(x), y, response_mask, extra
        )
        losses = example_losses(log_likelihoods, response_mask)
        penalty = mean_over_response(divergences, response_mask)
        return losses + self.strength * penalty

    def _measured(self, inputs, y, response_mask, extra):
        """Log-likelihoods and divergences of response tokens, `(B, T)`."""
        student = decode(self.vlm, inputs, training=True)
        with self.reference.running() as task:
            reference = decode(task, inputs)
        hidden = [student.hidden, ops.stop_gradient(reference.hidden)]
        positions = extra.get("response_positions")
        if positions is not None:
            hidden = [gather(values, positions) for values in hidden]
            y = gather(y, positions)

        def measure(hidden, reference_hidden, y):
            logits = student.project(hidden)
            # A block is computed again for the gradient, outside of the above.
            with self.reference.running():
                expected = reference.project(reference_hidden)
            expected = ops.stop_gradient(expected)
            chosen, _ = chosen_and_max(logits, y)
            return [chosen, divergence(expected, logits, self.temperature)]

        num_blocks = blocks_for(
            y.shape, self.largest_batch(True), 2 * student.vocabulary_size
        )
        found = in_blocks(measure, hidden, y, num_blocks)
        if positions is not None:
            found = [spread(values, response_mask) for values in found]
        return [ops.where(response_mask, values, 0.0) for values in found]


class ReferencePenalty(Defence):
    """Penalizes divergence from the pretrained model on each response token.

    The loss of an example is `L + strength * KL`, both means over the tokens
    of its response: what the pretrained model finds impossible costs more to
    learn. It flags nothing. The reference runs in every step.

    Args:
        strength: float. Weight of the divergence. Defaults to 1.0.
        temperature: float. Softens both distributions. Defaults to 2.0.

    Raises:
        ValueError: if `strength` is negative or `temperature` is not positive.

    Example:

    >>> ReferencePenalty(strength=0.1).fit(vlm, examples, options)

    Reference:
        - [Li and Hoiem, 2016](https://arxiv.org/abs/1606.09282), learning
          without forgetting: its weight and temperature; there of the outputs
          for old tasks.
        - [Ziegler et al., 2019](https://arxiv.org/abs/1909.08593), the penalty
          of a language model's divergence from its pretrained self.
    """

    def __init__(self, strength=1.0, temperature=2.0):
        if not strength >= 0:
            raise ValueError(
                "`strength` is the weight of the divergence and must be at "
                f"least 0. Take, say, 1.0. Received: strength={strength}"
            )
        if not temperature > 0:
            raise ValueError(
                "`temperature` must be positive. Take 1.0 for distributions as "
                f"they are. Received: temperature={temperature}"
            )
        self.strength = strength
        self.temperature = temperature

    def fit_prepared(self, vlm, prepared, options):
        model = PenalizedModel(vlm)
        model.strength = self.strength
        model.temperature = self.temperature
        batches = batches_for(vlm, prepared, options)
        history = train(model, batches, options)
        return DefendedFit(
            vlm=vlm,
            store=batches.store,
            examples=prepared.examples,
            history=history,
        )
