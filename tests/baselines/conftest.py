"""Fixtures of the tests of defences: options of a short fine-tune."""

import keras
import numpy as np
import pytest

from keras_byorn.baselines import FitOptions


@pytest.fixture
def options():
    """One epoch in batches of 4, with the average that a teacher needs."""
    return FitOptions(
        lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.1),
        epochs=1,
        batch_size=4,
    )


@pytest.fixture
def shifted():
    """A function that moves all trainable weights of a task, by NumPy."""

    def shift(vlm, scale=0.3, seed=5):
        rng = np.random.default_rng(seed)
        for variable in vlm.trainable_variables:
            noise = rng.normal(0, scale, variable.shape)
            variable.assign(keras.ops.convert_to_numpy(variable) + noise)

    return shift
