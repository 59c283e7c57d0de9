"""Anti-Backdoor Learning: isolates what is learned first, and unlearns it."""

import keras
import numpy as np
from keras import ops

from keras_byorn.baselines.defence import (
    Defence,
    DefendedFit,
    batches_for,
    train,
)
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.response_logits import mean_over_response


def local_gradient_ascent(losses, gamma):
    """Keeps losses near a value: those below it are raised again.

    Computes `sign(l - gamma) * l`, equation 4 of the reference in its first
    stage. What is learned fast, as poison is, goes on falling in between.

    Args:
        losses: float tensor, `(B,)`.
        gamma: float.

    Returns:
        float tensor, `(B,)`.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2110.11571)
    """
    return ops.sign(ops.stop_gradient(losses) - gamma) * losses


class StagedModel(BYORnModel):
    """Trains on the loss of a stage: `"isolate"`, `"tune"` or `"unlearn"`."""

    stage = "tune"
    gamma = 0.5

    def example_losses(self, x, y, response_mask, weight, extra, training):
        losses = super().example_losses(
            x, y, response_mask, weight, extra, training
        )
        if not training or self.stage == "tune":
            return losses
        if self.stage == "unlearn":
            return -losses
        return local_gradient_ascent(losses, self.gamma)


class LossIsolation(Defence):
    """Isolates the examples of the lowest loss early, and unlearns them.

    Anti-Backdoor Learning (ABL) takes for granted that poison is learned
    faster than anything else. It trains with local gradient ascent for the
    first fifth of the epochs, isolates the examples whose loss is then the
    lowest, fine-tunes on the others for the rest of the epochs, and ascends
    the loss of the isolated ones in the end.

    Args:
        gamma: float, nats per token. The loss around which the first stage
            keeps examples. Defaults to 0.5.
        isolation_fraction: float in (0, 1). Share to isolate. Defaults to
            0.01.
        isolation_epochs: float in (0, 1). Share of the epochs that the first
            stage takes, at least one of them. Defaults to 0.2.
        unlearning_epochs: int. Passes over the isolated examples. Defaults to
            5.
        unlearning_rate: float. Learning rate of the last stage, by SGD with
            momentum 0.9 and a weight decay of 1e-4. Defaults to 5e-4.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> fit = LossIsolation(isolation_fraction=0.05).fit(vlm, examples, options)
    >>> fit.details["num_isolated"]
    100

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2110.11571), made for
          classifiers. The loss of an example is here the mean over the tokens
          of its response.
    """

    def __init__(
        self,
        gamma=0.5,
        isolation_fraction=0.01,
        isolation_epochs=0.2,
        unlearning_epochs=5,
        unlearning_rate=5e-4,
    ):
        for name, share in (
            ("isolation_fraction", isolation_fraction),
            ("isolation_epochs", isolation_epochs),
        ):
            if not 0 < share < 1:
                raise ValueError(
                    f"`{name}` is a share and must be in (0, 1). The paper "
                    f"takes 0.01 of the examples and 0.2 of the epochs. "
                    f"Received: {name}={share}"
                )
        if not unlearning_epochs >= 0:
            raise ValueError(
                "`unlearning_epochs` must be at least 0, to unlearn nothing. "
                f"Received: unlearning_epochs={unlearning_epochs}"
            )
        self.gamma = gamma
        self.isolation_fraction = isolation_fraction
        self.isolation_epochs = isolation_epochs
        self.unlearning_epochs = unlearning_epochs
        self.unlearning_rate = unlearning_rate

    def fit_prepared(self, vlm, prepared, options):
        model = StagedModel(vlm)
        model.gamma = self.gamma
        first = max(1, round(self.isolation_epochs * options.epochs))
        model.stage = "isolate"
        everything = batches_for(vlm, prepared, options)
        history = train(model, everything, options, first)
        losses = losses_of(model, prepared, options.verbose)
        isolated = lowest(losses, self.isolation_fraction)
        rest = batches_for(vlm, prepared, options)
        rest.store.set_scores(losses, isolated)
        if options.epochs > first:
            model.stage = "tune"
            history = train(model, rest, options, options.epochs - first)
        if self.unlearning_epochs:
            self._unlearn(model, isolated, prepared, options)
        return DefendedFit(
            vlm=vlm,
            store=rest.store,
            examples=prepared.examples,
            history=history,
            details={
                "num_isolated": int(isolated.sum()),
                "isolation_epochs": first,
            },
        )

    def _unlearn(self, model, isolated, prepared, options):
        """Ascends the loss of the isolated examples."""
        model.stage = "unlearn"
        batches = batches_for(model.vlm, prepared, options)
        batches.store.set_scores(
            np.full(len(prepared), np.nan, "float32"), ~isolated
        )
        optimizer = keras.optimizers.SGD(
            self.unlearning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=1e-4,
        )
        train(
            model,
            batches,
            options,
            self.unlearning_epochs,
            optimizer=optimizer,
        )


def losses_of(model, prepared, verbose=0):
    """Computes the loss of each original response under the student.

    Args:
        model: a `BYORnModel`.
        prepared: a `PreparedExamples`.
        verbose: as in `keras.Model.predict`.

    Returns:
        float32 array, `(N,)`, nats per token.
    """
    batches = prepared.scoring_batches()
    scores = model.score(batches, verbose=verbose)
    count = len(prepared)
    means = mean_over_response(
        scores.log_likelihoods[:count], scores.response_mask[:count]
    )
    return -ops.convert_to_numpy(means)


def lowest(losses, fraction):
    """Marks the share of the lowest losses, one of them at least.

    Args:
        losses: float array, `(N,)`.
        fraction: float in (0, 1).

    Returns:
        bool array, `(N,)`.
    """
    count = max(1, round(fraction * len(losses)))
    marked = np.zeros(len(losses), bool)
    marked[np.argsort(losses, kind="stable")[:count]] = True
    return marked
