"""One step of training on TensorFlow."""

import tensorflow as tf

from keras_byorn.training.threads import Threads

make_threads = Threads.left_alone  # TensorFlow sees to them


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
