"""One step of training on TensorFlow."""

import keras
import tensorflow as tf

NUM_PREFETCHED = 2

# Whether `keras.distribution` shares batches among devices here.
SHARES_BATCHES = False


class TrainStep:
    """Mixed into `BYORnModel` on the TensorFlow backend.

    Attributes:
        max_steps_per_execution: int or `None`. As many as the backend allows.
    """

    max_steps_per_execution = None

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

    def recording(self, train_function, history):
        """Collects the losses after each execution of a train function."""
        return history.recording(train_function)


def training_data(batches):
    """Returns the data set that `fit` is to read batches from.

    Keras would tune a pipeline around the batches, in which there is nothing
    to tune, and wait at the end of each epoch for the thread that tunes, which
    may sleep for as long as the epoch took (see `docs/upstream.md`).

    Args:
        batches: a `TargetBatches` within `starting()`.

    Returns:
        A `tf.data.Dataset` that reads an epoch's batches anew each time.
    """

    def epoch():
        # Asked here, for the number changes between epochs.
        for index in range(batches.num_batches):
            yield batches[index]

    # The first two are one of the shortest and one of the longest.
    known = [batches[index] for index in range(min(2, batches.num_batches))]
    signature = keras.tree.map_structure(_spec, known[0], known[-1])
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(epoch, output_signature=signature)
    dataset = dataset.prefetch(NUM_PREFETCHED).with_options(options)
    # Keras never runs more batches than it was told of at first.
    most = batches.num_batches
    dataset.cardinality = lambda: most
    return dataset


def _spec(one, other):
    """The dtype of two arrays, and their shape where it is one."""
    shape = [a if a == b else None for a, b in zip(one.shape, other.shape)]
    return tf.TensorSpec(shape, one.dtype)
