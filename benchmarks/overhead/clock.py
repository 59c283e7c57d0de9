"""Measures the seconds of a fine-tune and of its parts."""

import collections
import contextlib
import functools
import time

import keras

import keras_byorn


class Clock:
    """Adds up seconds under names.

    Attributes:
        seconds: a `collections.Counter` from names to seconds.
    """

    def __init__(self):
        self.seconds = collections.Counter()

    @contextlib.contextmanager
    def __call__(self, name):
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def timed(self, name, function):
        """Returns a function whose calls are added up under a name."""

        @functools.wraps(function)
        def call(*args, **kwargs):
            with self(name):
                return function(*args, **kwargs)

        return call


class TimedBatches(keras_byorn.TargetBatches):
    """Measures the checking, tokenizing and stacking of `TargetBatches`.

    Of a batch only the time of its thread counts: JAX makes it wait for the
    step before, and TensorFlow makes it while the step runs.

    Args:
        clock: a `Clock`.
        *args, **kwargs: as for `TargetBatches`.
    """

    def __init__(self, clock, *args, **kwargs):
        self._clock = clock
        with clock("check"):
            super().__init__(*args, **kwargs)

    def __getitem__(self, index):
        started = time.thread_time()
        batch = super().__getitem__(index)
        self._clock.seconds["batches"] += time.thread_time() - started
        return batch


class EpochTimes(keras.callbacks.Callback):
    """Measures the epochs, without the defence's work between them.

    Args:
        clock: a `Clock`, on which that work is `regenerate`.
        compilations: a `Compilations`.
    """

    def __init__(self, clock, compilations):
        super().__init__()
        self._clock = clock
        self._compilations = compilations
        self._made = time.perf_counter()

    def on_train_begin(self, logs=None):
        self._clock.seconds["traced"] = time.perf_counter() - self._made

    def on_epoch_begin(self, epoch, logs=None):
        self._began = self._now()

    def on_epoch_end(self, epoch, logs=None):
        self._clock.seconds["epochs"] += self._now() - self._began
        if epoch == 0:
            self._compilations.end_first_epoch()

    def _now(self):
        return time.perf_counter() - self._clock.seconds["regenerate"]


def split(clock):
    """Divides the seconds of a fine-tune among its parts.

    Batches are made within the epochs; `train` is the epochs without them.

    Returns:
        A dict of `seconds`, `epoch_seconds` and `split`, a dict of parts.
    """
    seconds = clock.seconds
    parts = {
        "score": seconds["score"],
        "train": seconds["epochs"] - seconds["batches"],
        "regenerate": seconds["regenerate"],
        "data": seconds["check"] + seconds["batches"],
    }
    parts["other"] = seconds["total"] - sum(parts.values())
    return {
        "seconds": seconds["total"],
        "epoch_seconds": seconds["epochs"],
        "split": parts,
    }
