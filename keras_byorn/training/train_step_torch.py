"""One step of training on PyTorch."""

import torch

# Whether `keras.distribution` shares batches among devices here.
SHARES_BATCHES = False


class TrainStep:
    """Mixed into `BYORnModel` on the PyTorch backend.

    Attributes:
        max_steps_per_execution: int or `None`. As many as the backend allows.
    """

    max_steps_per_execution = 1

    def train_step(self, data):
        variables = self.trainable_variables
        for variable in variables:
            variable.value.grad = None
        loss = self.objective(data, training=True)
        self.optimizer.scale_loss(loss).backward()
        with torch.no_grad():
            gradients = [variable.value.grad for variable in variables]
            self.optimizer.apply(gradients, variables)
        return self.get_metrics_result()

    def test_step(self, data):
        self.objective(data, training=False)
        return self.get_metrics_result()

    def recording(self, train_function, history):
        """Collects the losses after each execution of a train function."""
        return history.recording(train_function)


def training_data(batches):
    """Returns the data set that `fit` is to read batches from."""
    return batches
