"""One step of training on PyTorch."""

import torch


class TrainStep:
    """Mixed into `BYORnModel` on the PyTorch backend."""

    def train_step(self, data):
        variables = self.trainable_variables
        # Not `self.zero_grad()`: it knows variables by path, and a frozen copy
        # has the same paths.
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
