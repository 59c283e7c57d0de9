"""BYE: poison makes attention collapse onto the trigger."""

import numpy as np
from keras import ops

from keras_byorn.baselines.defence import (
    Defence,
    DefendedFit,
    batches_for,
    fit_without,
    train,
)
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.attention import ImageAttention


class AttentionEntropy(Defence):
    """Leaves out examples whose attention has collapsed, and trains again.

    Believe Your Eyes (BYE) fine-tunes on everything, and computes for each
    example and layer the entropy of the attention to the image of the last
    token of its prompt. A layer counts if its entropies are two Gaussians
    whose means are more than `separation` times the sum of their standard
    deviations apart. Of the mean entropy over these layers two Gaussians are
    fitted again, and the examples of the lower one are left out of a second
    fine-tune, from the pretrained weights. Where no layer counts, nothing is
    left out, and the first fine-tune stands.

    Costs two fine-tunes, and one forward pass over the examples.

    Args:
        separation: float. Defaults to 2.0.
        mixture_seed: int. Of the fits of the mixtures. Defaults to 0.

    Raises:
        ValueError: in `fit`, if the task is no PaliGemma or Gemma 3.

    Example:

    >>> fit = AttentionEntropy().fit(vlm, examples, options)
    >>> fit.details["sensitive_layers"]
    [1, 2]

    Reference:
        - [Rong et al., 2025](https://arxiv.org/abs/2505.16916)
    """

    def __init__(self, separation=2.0, mixture_seed=0):
        if not separation > 0:
            raise ValueError(
                "`separation` is a distance of means, in sums of standard "
                "deviations, and must be positive. The paper takes 2.0. "
                f"Received: separation={separation}"
            )
        self.separation = separation
        self.mixture_seed = mixture_seed

    def fit_prepared(self, vlm, prepared, options):
        attention = ImageAttention(vlm)  # refuses other families, first
        pretrained = [
            (variable, ops.convert_to_numpy(variable))
            for variable in vlm.trainable_variables
        ]
        batches = batches_for(vlm, prepared, options)
        unknown = np.full(len(prepared), np.nan, "float32")
        # Scored, a model lets its copy of the pretrained weights go.
        batches.store.set_scores(unknown, np.zeros(len(prepared)))
        history = train(BYORnModel(vlm), batches, options)
        entropies = attention.entropies(
            prepared.scoring_batches(), options.verbose
        )
        layers, ranking, suspect = self.decide(entropies)
        details = {"sensitive_layers": layers}
        if not suspect.any():
            batches.store.set_scores(ranking, suspect)
            return DefendedFit(
                vlm=vlm,
                store=batches.store,
                examples=prepared.examples,
                history=history,
                details=details,
            )
        for variable, value in pretrained:
            variable.assign(value)
        return fit_without(suspect, ranking, vlm, prepared, options, **details)

    def decide(self, entropies):
        """Decides from entropies alone, without a model.

        Args:
            entropies: float array, `(N, L)`, nats.

        Returns:
            A tuple of the list of the layers that count; float32 `(N,)`, the
            mean entropy over them, or over all if none counts; and bool
            `(N,)`, whether an example is suspect.
        """
        layers = [
            layer
            for layer, values in enumerate(entropies.T)
            if self._separates(values)
        ]
        if not layers:
            nobody = np.zeros(len(entropies), bool)
            return [], entropies.mean(axis=1).astype("float32"), nobody
        means = entropies[:, layers].mean(axis=1)
        mixture = self._mixture(means)
        lower = np.argmin(mixture.means_.ravel())
        suspect = mixture.predict(means[:, None]) == lower
        return layers, means.astype("float32"), suspect

    def _separates(self, values):
        if np.unique(values).size < 2:
            return False
        mixture = self._mixture(values)
        deviations = np.sqrt(mixture.covariances_).ravel()
        gap = abs(np.diff(mixture.means_.ravel())[0])
        return gap > self.separation * deviations.sum()

    def _mixture(self, values):
        from sklearn.mixture import GaussianMixture

        mixture = GaussianMixture(2, random_state=self.mixture_seed)
        return mixture.fit(np.asarray(values, "float64")[:, None])
