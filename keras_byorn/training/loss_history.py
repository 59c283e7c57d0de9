"""What the student thought of each response before it learned from it."""

import keras
import numpy as np
from keras import ops


class TrainingDiary(keras.layers.Layer):
    """Keeps the loss of each example at its last training step, and when.

    The loss of a step is computed before the step changes the weights. In the
    first epoch it is thus the judgement of a student that has trained on other
    examples only: a cross-fitted score that costs no pass of its own, the
    prequential one of [Dawid, 1984](https://doi.org/10.2307/2981683).

    Args:
        num_examples: int.
    """

    def __init__(self, num_examples, **kwargs):
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.num_examples = num_examples
        # One place more, for rows that are no original response.
        shape = (num_examples + 1,)
        self._noted = self._counter(shape, "float32", "losses")
        self._steps = self._counter(shape, "int32", "steps")
        self._step = self._counter((), "int32", "step")
        self.built = True

    def _counter(self, shape, dtype, name):
        return self.add_weight(
            shape, "zeros", dtype=dtype, trainable=False, name=name
        )

    def write(self, positions, losses):
        """Notes the losses of a batch.

        Args:
            positions: int tensor, `(B,)`; `num_examples` for rows of no
                interest.
            losses: float tensor, `(B,)`, nats per token.
        """
        self._step.assign_add(1)
        places = ops.expand_dims(ops.cast(positions, "int32"), -1)
        for variable, values in (
            (self._noted, ops.stop_gradient(losses)),
            (self._steps, ops.full_like(positions, 1) * self._step),
        ):
            values = ops.cast(values, variable.dtype)
            variable.assign(ops.scatter_update(variable.value, places, values))

    def clear(self):
        """Forgets everything, for another data set of the same size."""
        for variable in (self._noted, self._steps, self._step):
            variable.assign(ops.zeros_like(variable.value))

    def read(self):
        """Returns what was noted.

        Returns:
            A pair of arrays, `(N,)`: plausibility under the student at the
            time, nats per token, NaN where it never was trained on (float32);
            and the step, counted from 1, 0 for never (int32).
        """
        losses, steps = (
            np.array(ops.convert_to_numpy(v))[: self.num_examples]
            for v in (self._noted, self._steps)
        )
        return np.where(steps > 0, -losses, np.nan).astype("float32"), steps
