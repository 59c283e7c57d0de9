"""Losses of examples at their first training step."""

import keras
import numpy as np
from keras import ops


class LossHistory(keras.layers.Layer):
    """Keeps the loss of each example at its first training step, and the step.

    The loss of a step is computed before the step changes the weights. It is
    thus the judgement of a student that has trained on other examples only: a
    cross-fitted score that costs no pass of its own, the prequential one of
    [Dawid, 1984](https://doi.org/10.2307/2981683).

    Within a compiled step, `update` writes to registers of the last few steps.
    After it, outside, `collect` takes copies of them, without waiting for the
    step to end; so the cost does not grow with the number of examples.

    Args:
        num_examples: int.
        batch_size: int. Rows in a batch.
        num_steps: int. Steps in one execution of the compiled program.
            Defaults to 1.

    Attributes:
        faulty: the first step with a loss that is not finite, a pair of the
            step and the positions of its examples; `None` without one.
    """

    def __init__(self, num_examples, batch_size, num_steps=1, **kwargs):
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.num_steps = num_steps
        self._recent_losses = self._register("float32", batch_size, "losses")
        # The last column is the step, counted from 1.
        self._recent_positions = self._register(
            "int32", batch_size + 1, "positions"
        )
        self.built = True
        self.num_resets = 0
        self._forget()

    @property
    def registers(self):
        """list of two variables, to be handed to `collect`."""
        return [self._recent_losses, self._recent_positions]

    def update(self, positions, losses):
        """Notes the losses of a batch, within a step.

        Args:
            positions: int tensor, `(B,)`; `num_examples` for rows of no
                interest.
            losses: float tensor, `(B,)`, nats per token.
        """
        step = self._recent_positions[-1:, -1] + 1
        positions = ops.concatenate([ops.cast(positions, "int32"), step])
        for register, row in (
            (self._recent_losses, ops.stop_gradient(losses)),
            (self._recent_positions, positions),
        ):
            row = ops.expand_dims(ops.cast(row, register.dtype), 0)
            register.assign(ops.concatenate([register[1:], row]))

    def collect(self, losses, positions):
        """Takes copies of the registers, after an execution.

        Args:
            losses, positions: the values of `registers`.
        """
        self._pending.append((ops.copy(losses), ops.copy(positions)))

    def recording(self, train_function):
        """Collects the losses after each execution of a train function.

        Args:
            train_function: callable from an iterator to logs, which leaves the
                values of `registers` in the variables.
        """

        def run(iterator):
            logs = train_function(iterator)
            self.collect(*(register.value for register in self.registers))
            return logs

        return run

    def result(self):
        """Returns everything that was noted.

        Returns:
            A pair of arrays, `(N,)`: plausibility under the student at the
            time, nats per token, NaN where an example was never trained on
            (float32); and the step, counted from 1, 0 for never (int32).
        """
        for losses, positions in self._pending:
            losses = ops.convert_to_numpy(losses)
            positions = ops.convert_to_numpy(positions)
            for own, (*places, step) in zip(losses, positions):
                if step > self._last_step:
                    self._note(np.array(places), own, step)
        self._pending.clear()
        return self._plausibility.copy(), self._steps.copy()

    def state(self):
        """Returns everything that was noted, as arrays to keep.

        Returns:
            A dict of arrays: `plausibility` and `steps`, as `result` returns
            them, and `last_step`, an int.
        """
        plausibility, steps = self.result()
        return {
            "plausibility": plausibility,
            "steps": steps,
            "last_step": np.array(self._last_step),
        }

    def restore(self, state):
        """Goes on from a state that was kept.

        Args:
            state: dict, as `state` returns it.
        """
        self._pending.clear()
        self._plausibility[:] = state["plausibility"]
        self._steps[:] = state["steps"]
        self._last_step = int(state["last_step"])
        self.resume()

    def resume(self):
        """Goes on counting, whatever step the registers were set back to.

        `EarlyStopping(restore_best_weights=True)` sets all weights of a model
        back, these too.
        """
        self.result()
        positions = np.zeros(self._recent_positions.shape, "int32")
        positions[:, -1] = self._last_step
        self._recent_positions.assign(positions)

    def reset(self):
        """Forgets everything, for another data set of this size."""
        for register in self.registers:
            register.assign(ops.zeros_like(register.value))
        self.num_resets += 1
        self._forget()

    def _note(self, places, losses, step):
        self._last_step = step
        if self.faulty is None and not np.isfinite(losses).all():
            self.faulty = step, places[places < self.num_examples]
        first = places < self.num_examples
        first[first] &= self._steps[places[first]] == 0
        self._plausibility[places[first]] = -losses[first]
        self._steps[places[first]] = step

    def _forget(self):
        self._pending = []
        self.faulty = None
        self._last_step = 0
        self._plausibility = np.full(self.num_examples, np.nan, "float32")
        self._steps = np.zeros(self.num_examples, "int32")

    def _register(self, dtype, width, name):
        return self.add_weight(
            (self.num_steps, width),
            "zeros",
            dtype=dtype,
            trainable=False,
            name=f"recent_{name}",
        )
