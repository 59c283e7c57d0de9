"""One step of training on PyTorch."""

import contextlib

import keras
import torch

from keras_byorn.training.threads import Threads

reading = contextlib.nullcontext


def make_threads():
    return Threads(
        torch.get_num_threads, torch.set_num_threads, may_choose_threads
    )


def may_choose_threads():
    """bool. On a CPU, unless the user wants each run to be the same."""
    on_cpu = keras.ops.zeros(()).device.type == "cpu"
    # `keras.utils.set_random_seed` seeds PyTorch, too, with what NumPy takes.
    # By itself PyTorch begins with 64 random bits.
    seeded = torch.initial_seed() < 2**32
    deterministic = torch.are_deterministic_algorithms_enabled()
    return on_cpu and not seeded and not deterministic


class TrainStep:
    """Mixed into `BYORnModel` on the PyTorch backend."""

    def train_step(self, data):
        with self.threads("train", self.size_of(data[1])):
            return self._train_step(data)

    def _train_step(self, data):
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
        with self.threads("test", self.size_of(data[1])):
            self.objective(data, training=False)
        return self.get_metrics_result()
