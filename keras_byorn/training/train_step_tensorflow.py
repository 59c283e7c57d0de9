"""One step of training on TensorFlow."""

import contextlib

import tensorflow as tf

from keras_byorn.training.threads import Threads

make_threads = Threads.left_alone  # TensorFlow sees to them
NUM_PREFETCHED = 2


@contextlib.contextmanager
def reading():
    """In this block, what Keras makes of a `PyDataset` is not tuned.

    There is nothing to tune, and at the end of an epoch TensorFlow waits for
    the thread that tunes, which may sleep for as long as the epoch took (see
    `docs/upstream.md`). Keras leaves no way to say so.
    """
    prefetch = tf.data.Dataset.prefetch

    def prefetch_untuned(dataset, buffer_size, name=None):
        options = tf.data.Options()
        options.autotune.enabled = False
        if buffer_size == tf.data.AUTOTUNE:
            buffer_size = NUM_PREFETCHED
        return prefetch(dataset, buffer_size, name).with_options(options)

    tf.data.Dataset.prefetch = prefetch_untuned
    try:
        yield
    finally:
        tf.data.Dataset.prefetch = prefetch


class TrainStep:
    """Mixed into `BYORnModel` on the TensorFlow backend."""

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss = self.objective(data, training=True)
            scaled_loss = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled_loss, variables)
        self.optimizer.apply(gradients, variables)
        return self.get_metrics_result()

    def test_step(self, data):
        self.objective(data, training=False)
        return self.get_metrics_result()
