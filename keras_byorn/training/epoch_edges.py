"""The edges of epochs, where targets and order change."""

import keras

from keras_byorn.training.finite import check_finite


class EpochEdges(keras.callbacks.Callback):
    """Runs the work between epochs, after every other callback.

    `BYORnModel.fit` puts it last: callbacks such as `SwapEMAWeights` have then
    given the model its own weights back.

    Args:
        batches: the `TargetBatches` in training.
        history: the `LossHistory` of the model.
        defence: optional `BYORnCallback`.
        may_stop: bool. Whether another callback ends a run whose loss is not
            finite, so that it is no error here. Defaults to `False`.
    """

    def __init__(self, batches, history, defence=None, may_stop=False):
        super().__init__()
        self._batches = batches
        self._history = history
        self._defence = defence
        self._may_stop = may_stop
        self._is_finite = True

    def on_train_begin(self, logs=None):
        self._batches.begin_training()

    def on_epoch_begin(self, epoch, logs=None):
        if self._defence is not None:
            self._defence.begin_epoch()

    def on_epoch_end(self, epoch, logs=None):
        self._history.result()  # nothing waits on the device any longer
        self._is_finite = check_finite(
            self.model, self._history, self._batches.examples, self._may_stop
        )
        self._batches.next_epoch()
        if self._defence is not None and self._is_finite:
            self._defence.end_epoch(epoch, logs)

    def on_train_end(self, logs=None):
        run = self._defence and self._defence.run
        if run is not None and self._is_finite:
            run.end()
