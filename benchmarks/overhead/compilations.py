"""Counts programs that are compiled after everything should be."""

import contextlib
import functools

import keras

import keras_byorn


class Compilations:
    """Counts the compilations that come late.

    After the first fine-tune of a process every compilation is late; within
    it, every step of training that is traced after the first epoch. On JAX
    XLA reports what it compiles. On TensorFlow the calls of the token
    embedding in Python count, for each program begins with one, and Python
    runs it only to trace a program. PyTorch compiles nothing.

    Attributes:
        late: int, late compilations so far.
        is_known: bool. Whether the backend compiles at all.
    """

    def __init__(self):
        self.late = 0
        self._compiled = self._steps = self._runs = 0
        self._steps_in_first_epoch = 0
        self.is_known = keras.config.backend() in ("jax", "tensorflow")
        self._listen()

    def _listen(self):
        if keras.config.backend() == "jax":
            import jax

            jax.monitoring.register_event_duration_secs_listener(
                lambda name, seconds, **kwargs: self._on_event(name)
            )
        elif keras.config.backend() == "tensorflow":
            embedding = keras.layers.ReversibleEmbedding
            embedding.call = self._counting(embedding.call, "_compiled")
        model = keras_byorn.BYORnModel
        model.objective = self._counting(model.objective, "_steps")

    def _on_event(self, name):
        self._compiled += name == "/jax/core/compile/backend_compile_duration"

    def _counting(self, function, counter):
        @functools.wraps(function)
        def call(*args, **kwargs):
            setattr(self, counter, getattr(self, counter) + 1)
            return function(*args, **kwargs)

        return call

    @contextlib.contextmanager
    def counted(self):
        """Counts within this block, which is one fine-tune."""
        before = self._compiled
        yield
        if self._runs:
            self.late += self._compiled - before
        else:
            self.late += self._steps - self._steps_in_first_epoch
        self._runs += 1

    def end_first_epoch(self):
        """Marks the end of the first epoch of a fine-tune."""
        self._steps_in_first_epoch = self._steps
