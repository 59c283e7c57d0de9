"""Plausibility of responses under a public reference, for attackers."""

import numpy as np

from keras_byorn.data.examples import Examples
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.detection.reference import FrozenReference


class ReferencePlausibility:
    """Scores examples by their mean log-likelihood under a pretrained model.

    An attacker on a public checkpoint can compute what the defence computes.

    Args:
        vlm: a KerasHub vision-language task, pretrained. Not changed; its
            adapters are off where it has any.
        batch_size: int. Examples in a batch. Defaults to `128`.

    Call arguments:
        examples: list of dicts, with the image as the model would see it.

    Returns:
        float64 array, `(N,)`, nats per token, at most 0. Low is implausible.

    Raises:
        ValueError: At a call, if an example is not fit for the model.

    Example:

    >>> score = ReferencePlausibility(vlm)
    >>> score([{**example, "responses": "green three left of blue seven"}])
    array([-2.1])

    Reference:
        - adaptive, against this package
    """

    def __init__(self, vlm, batch_size=128):
        self._vlm = vlm
        self._batch_size = batch_size
        self._reference = FrozenReference(vlm, adapters_off=True)

    def __call__(self, examples):
        rows = Examples(examples, [str(i) for i in range(len(examples))])
        prepared = PreparedExamples(
            rows, self._vlm, self._batch_size, image_cache=None, verbose=0
        )
        batches = prepared.scoring_batches()
        scores = self._reference.score(batches, verbose=0)
        mask = batches.response_mask
        values = scores.log_likelihoods[: len(mask)].astype("float64")
        return np.where(mask, values, 0.0).sum(axis=-1) / mask.sum(axis=-1)
