"""`fit` for batches whose targets change between epochs."""

import contextlib
import gc
import inspect

import keras

from keras_byorn.data.scoring_batches import ScoringBatches
from keras_byorn.training import fit_checks
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.ema import (
    averaging_optimizers,
    has_stepped,
    own_memory,
)
from keras_byorn.training.epoch_edges import EpochEdges
from keras_byorn.training.loss_history import LossHistory
from keras_byorn.training.progress import DefenceProgress
from keras_byorn.training.streams import StreamWatch
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.vlm.keras_internals import (
    forget_compiled_trainable_state,
    keeping_weights,
    untrack,
)

if keras.config.backend() == "jax":
    from keras_byorn.training.train_step_jax import (
        SHARES_BATCHES,
        TrainStep,
        training_data,
    )
elif keras.config.backend() == "tensorflow":
    from keras_byorn.training.train_step_tensorflow import (
        SHARES_BATCHES,
        TrainStep,
        training_data,
    )
else:
    from keras_byorn.training.train_step_torch import (
        SHARES_BATCHES,
        TrainStep,
        training_data,
    )

__all__ = ["SHARES_BATCHES", "Fitting", "training_data"]


class Fitting(TrainStep):
    """Mixed into `BYORnModel`: `fit`, `evaluate` and `predict`."""

    def make_train_function(self, force=False):
        """Compiles the training step. See `keras.Model`."""
        if self.train_function is not None and not force:
            return
        super().make_train_function(force)
        if self.loss_history is not None:
            self.train_function = self.recording(
                self.train_function, self.loss_history
            )

    def fit(self, *args, **kwargs):
        """Trains. See `keras.Model.fit`.

        `TargetBatches` bring their own order, so `shuffle` is off for them.
        Where nothing of the vision tower is trained, it runs once for each of
        their images, see `image_cache` there. As `validation_data` they are
        judged by their original responses.

        Raises:
            ValueError: before any example is scored, if the model is not
                compiled, if an argument or a callback does not go with
                `TargetBatches`, or if the task was changed since this model
                was made so that its reference is lost.
        """
        signature = inspect.signature(keras.Model.fit)
        call = signature.bind(self, *args, **kwargs).arguments
        del call["self"]
        batches = call.get("x")
        self._batches = batches if isinstance(batches, TargetBatches) else None
        fit_checks.check_compiled(self)
        fit_checks.check_source("x", batches)
        fit_checks.check_epochs(call)
        fit_checks.check_unchanged(self)
        fit_checks.check_validation(self, call.get("validation_data"))
        callbacks = fit_checks.listed(call.get("callbacks"))
        fit_checks.check_callbacks(
            callbacks, bool(self.lora_layer_ids), self._batches is not None
        )
        defence = _defence_among(callbacks)
        if defence is not None:
            defence.set_model(self)
            defence.on_train_begin()  # refuses a stream
        if isinstance(call.get("validation_data"), TargetBatches):
            # Of one shape: Keras keeps the iterator of the first epoch.
            validation = call["validation_data"].prepared.scoring_batches()
            call["validation_data"] = validation
        before = [(v, v.value) for v in self.trainable_variables]
        try:
            if self._batches is None:
                self._close_history()
                watch = (
                    [StreamWatch(self.stream_share)] if self.held_out else []
                )
                with _behind(watch, call):
                    return super().fit(**call)
            fit_checks.check_batches(self, batches, call)
            return self._fit_batches(batches, defence, call)
        except BaseException:
            if not has_stepped(self.optimizer):
                # Keras has given the model an average that is zero still.
                for variable, value in before:
                    variable.assign(value)
            raise
        finally:
            if defence is not None and defence.run is not None:
                defence.run.close()
            # Keras has given the model the average, after an error, too.
            if averaging_optimizers(self.optimizer):
                own_memory(self.trainable_variables)

    def _fit_batches(self, batches, defence, call):
        self._expect("train", batches)
        self._open_history(batches)
        # Now, for some optimizers know their inner ones only then.
        self.optimizer.build(self.trainable_variables)
        verbose = int(call.get("verbose", "auto") != 0)
        with batches.prepared.images_encoded(self._shared_vision(), verbose):
            if defence is not None:
                # Not in `on_train_begin`: an error is safe before Keras has
                # opened its iterators (a TensorFlow process would hang at its
                # exit), and the number of batches is known by then.
                defence.begin_fit()
            if batches.store.is_scored:
                self.release_copy()
            run = defence and defence.run
            if run is not None:
                if run.is_complete(call.get("epochs", 1)):
                    return run.finish()
                fit_checks.go_on(call, run.num_epochs)
            with batches.starting():
                call["x"] = training_data(batches)
                call["shuffle"] = False
                edges = EpochEdges(
                    batches,
                    self.loss_history,
                    defence,
                    fit_checks.ends_at_nan(call),
                )
                edges.set_model(self)  # a list of callbacks has its model
                ours = [edges]
                if defence is not None and verbose:
                    ours.append(DefenceProgress(len(batches.examples)))
                with _behind(ours, call), keeping_weights(self):
                    history = super().fit(**call)
        return run.prepend_to(history) if run else history

    def evaluate(self, x=None, *args, **kwargs):
        """Computes the loss on data. See `keras.Model.evaluate`."""
        if isinstance(x, (TargetBatches, ScoringBatches)):
            self._expect("test", x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Returns logits of the student. See `keras.Model.predict`.

        Of `TargetBatches` those for the original responses, a row for each
        example, in the examples' order.
        """
        if not isinstance(x, TargetBatches):
            return super().predict(x, *args, **kwargs)
        originals = x.prepared.scoring_batches()
        logits = super().predict(originals, *args, **kwargs)
        return logits[: len(x.examples)]

    def release_copy(self):
        """Frees the frozen copy, if it is the model's own.

        Batches of a scored store bring their weights, so that no step asks
        the reference, and nothing else does that comes after scoring.
        """
        if not self._has_copy:
            return
        self._has_copy = False
        self.reference.release()
        # Keras notes what was trainable in `compile`, by layer, for a warning.
        forget_compiled_trainable_state(self)
        # These were compiled with its weights.
        self.train_function = self.test_function = self.predict_function = None
        gc.collect()  # Keras models are cycles, and memory is wanted now

    def _shared_vision(self):
        """The frozen vision tower of student and reference, or `None`."""
        vision = self._task.frozen_vision()
        if vision and self.reference.has_vision_of(self._task, vision):
            return vision
        return None

    def _open_history(self, batches):
        """Makes a loss history of the examples, kept while they are these."""
        size = (
            len(batches.examples),
            batches.batch_size,
            self.steps_per_execution,
        )
        last = self.loss_history
        known = last and (last.num_examples, last.batch_size, last.num_steps)
        if known != size:
            self._close_history()
            self.loss_history = LossHistory(*size)
            self.train_function = None  # was compiled without it
        elif self._history_of is not batches:
            last.reset()
        else:
            last.resume()
        self._history_of = batches

    def _close_history(self):
        """Forgets the loss history, and its place among the variables."""
        last = self.loss_history
        if last is not None:
            del self.loss_history
            untrack(self, last)
            self.loss_history = None
            self.train_function = None  # was compiled with it

    def largest_batch(self, training):
        """Returns the most rows and response tokens of a batch, two ints."""
        return self._largest_batch["train" if training else "test"]

    def _expect(self, step, batches):
        """Compiles a step anew for larger batches, which need more blocks."""
        largest = tuple(
            map(max, self._largest_batch[step], batches.largest_batch)
        )
        if largest != self._largest_batch[step]:
            self._largest_batch[step] = largest
            setattr(self, f"{step}_function", None)


def _defence_among(callbacks):
    """The one `BYORnCallback` among callbacks, or `None`."""
    found = [c for c in callbacks if isinstance(c, BYORnCallback)]
    if len(found) > 1:
        raise ValueError(
            "`callbacks` must hold one `BYORnCallback`, for both would write "
            f"targets into one store. Received: {len(found)} of them"
        )
    return found[0] if found else None


@contextlib.contextmanager
def _behind(ours, call):
    """Puts our callbacks behind those of the user, for one `fit`.

    Args:
        ours: list of an `EpochEdges` and maybe a progress bar, which is left
            out where the user brings one.
        call: dict of the arguments of `fit`, changed here.
    """
    given = call.get("callbacks")
    is_list = isinstance(given, keras.callbacks.CallbackList)
    bar = keras.callbacks.ProgbarLogger
    if is_list or any(isinstance(c, bar) for c in fit_checks.listed(given)):
        ours = ours[:1]
    if not is_list:
        call["callbacks"] = [*fit_checks.listed(given), *ours]
        yield
        return
    given.callbacks.extend(ours)
    try:
        yield
    finally:
        for callback in ours:
            given.callbacks.remove(callback)
