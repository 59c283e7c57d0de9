"""Plausibility for attackers is the mean log-likelihood per token."""

import numpy as np

from keras_byorn.attacks import adaptive
from keras_byorn.data.examples import Examples
from keras_byorn.training.target_batches import TargetBatches


def test_it_is_the_mean_over_the_response(
    wordy_vlm, make_examples, response_log_likelihoods
):
    """As NumPy computes it from the logits, whatever the batches."""
    rows = make_examples(6)
    batches = TargetBatches(
        Examples(rows), wordy_vlm, batch_size=6, shuffle=False
    )
    x, y, extra = batches[0]
    mask = extra["response_mask"]
    values = response_log_likelihoods(wordy_vlm, x, y, mask)
    expected = values.sum(axis=-1) / mask.sum(axis=-1)
    score = adaptive.ReferencePlausibility(wordy_vlm, batch_size=4)
    np.testing.assert_allclose(score(rows), expected, rtol=1e-4)
    # One reference for many calls, and repeated ids do not matter.
    twice = score([rows[1], rows[1]])
    np.testing.assert_allclose(twice, expected[[1, 1]], rtol=1e-4)
