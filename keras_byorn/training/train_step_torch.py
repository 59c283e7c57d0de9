"""One step of training on PyTorch."""

import torch


class TrainStep:
    """Mixed into `BYORnModel` on the PyTorch backend."""

    def train_step(self, data):
        self.zero_grad()
        loss = self.objective(data, training=True)
        self.optimizer.scale_loss(loss).backward()
        variables = self.trainable_variables
        with torch.no_grad():
            gradients = [variable.value.grad for variable in variables]
            self.optimizer.apply(gradients, variables)
        return self.get_metrics_result()

    def test_step(self, data):
        self.objective(data, training=False)
        return self.get_metrics_result()

    def forget_variables(self):
        """Called where some variables are the model's no longer."""
        self._track_variables()
