"""The pipeline of `fit` on TensorFlow: nothing is tuned, nothing is patched."""

import keras
import numpy as np
import pytest

from keras_byorn.training.model import BYORnModel

if keras.config.backend() != "tensorflow":
    pytest.skip("others have no pipelines", allow_module_level=True)

import tensorflow as tf

from keras_byorn.training.train_step_tensorflow import training_data

PREFETCH = tf.data.Dataset.prefetch


class Seen(keras.callbacks.Callback):
    """Notes in each epoch whether TensorFlow is as it was."""

    def __init__(self, stop=None):
        super().__init__()
        self._stop = stop
        self.unpatched, self.tuned = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.unpatched.append(tf.data.Dataset.prefetch is PREFETCH)

    def on_epoch_begin(self, epoch, logs=None):
        data = tf.data.Dataset.range(3).prefetch(tf.data.AUTOTUNE)
        assert list(data.as_numpy_iterator()) == [0, 1, 2]
        self.tuned.append(data.options().autotune.enabled)
        if epoch == self._stop:
            raise KeyboardInterrupt


def compiled(vlm):
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(0.0))
    return model


def test_a_fit_patches_nothing(make_vlm, make_batches):
    """During it and after it, where it fails, and where two are nested."""
    vlm, other = make_vlm(lora_rank=2), make_vlm(lora_rank=2)
    inner, seen = Seen(), Seen(stop=1)

    class Inner(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            compiled(other).fit(
                make_batches(other), callbacks=[inner], verbose=0
            )

    with pytest.raises(KeyboardInterrupt):
        compiled(vlm).fit(
            make_batches(vlm), epochs=2, callbacks=[seen, Inner()], verbose=0
        )
    assert seen.unpatched == [True] * 2 and inner.unpatched == [True] * 2
    assert not any(seen.tuned[1:] + inner.tuned) or seen.tuned[0] is None
    assert tf.data.Dataset.prefetch is PREFETCH


def test_the_pipeline_is_not_tuned(vlm, make_batches):
    """Keras would wait for the thread that tunes, after each epoch."""
    batches = make_batches(vlm)
    with batches.starting():
        data = training_data(batches)
    assert data.options().autotune.enabled is False
    assert isinstance(data, tf.data.Dataset)


def test_an_epoch_is_read_anew(vlm, make_batches):
    """Targets, order and number of batches are those of the time."""
    batches = make_batches(vlm, batch_size=4)
    batches.store.set_scores(-np.ones(6), np.zeros(6))
    with batches.starting():
        data = training_data(batches)
        assert data.cardinality() == 2
        batches.begin_training()
        for suspects in ([], [1, 4]):
            probability = np.zeros(6)
            probability[suspects] = 1.0
            batches.store.set_scores(-np.ones(6), probability)
            found = list(data.as_numpy_iterator())
            assert len(found) == len(batches) == (1 if suspects else 2)
            for one, other in zip(found, batches):
                for own, expected in zip(
                    keras.tree.flatten(one), keras.tree.flatten(other)
                ):
                    np.testing.assert_array_equal(own, expected)
