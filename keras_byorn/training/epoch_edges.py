"""The edges of epochs, where targets and order change."""

import keras


class EpochEdges(keras.callbacks.Callback):
    """Runs the work between epochs, after every other callback.

    `BYORnModel.fit` puts it last: callbacks such as `SwapEMAWeights` have then
    given the model its own weights back.

    Args:
        batches: the `TargetBatches` in training.
        history: the `LossHistory` of the model.
        defence: optional `BYORnCallback`.
    """

    def __init__(self, batches, history, defence=None):
        super().__init__()
        self._batches = batches
        self._history = history
        self._defence = defence

    def on_train_begin(self, logs=None):
        self._batches.begin_training()

    def on_epoch_begin(self, epoch, logs=None):
        if self._defence is not None:
            self._defence.begin_epoch()

    def on_epoch_end(self, epoch, logs=None):
        self._history.result()  # nothing waits on the device any longer
        self._batches.next_epoch()
