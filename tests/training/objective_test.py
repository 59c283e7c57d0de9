"""The loss, in plain numbers."""

import keras
import numpy as np

from keras_byorn.training.objective import example_losses, weighted_mean


def test_example_losses_are_means_over_response_tokens():
    """Values off the response do not count, whatever they are."""
    losses = example_losses(
        keras.ops.convert_to_tensor([[-9.0, -1.0, -3.0], [-0.5, -9.0, -9.0]]),
        keras.ops.convert_to_tensor(
            np.array([[False, True, True], [True, False, False]])
        ),
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(losses), [2.0, 0.5])


def test_weighted_mean_in_numbers():
    """Rows of weight zero do not count; no weight at all is no loss."""
    mean = weighted_mean(
        keras.ops.convert_to_tensor([2.0, 4.0, 100.0]),
        keras.ops.convert_to_tensor([0.5, 1.5, 0.0]),
    )
    assert float(mean) == 3.5
    ones, zeros = keras.ops.ones((2,)), keras.ops.zeros((2,))
    assert float(weighted_mean(ones, zeros)) == 0.0
