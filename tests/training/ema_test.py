"""The average that an optimizer keeps: lent to the model, and given back."""

import keras
import numpy as np
import pytest

from keras_byorn.baselines import OracleFlags
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.ema import (
    averaged_weights,
    averaging_optimizers,
    has_stepped,
)
from keras_byorn.training.model import BYORnModel


def adamw(**kwargs):
    kwargs = {"use_ema": True, "ema_momentum": 0.5, **kwargs}
    return keras.optimizers.AdamW(0.05, **kwargs)


def plain(model):
    return adamw()


def scaled(model):
    return keras.optimizers.LossScaleOptimizer(adamw())


def several(model):
    """Two optimizers, of which that of the embeddings keeps an average."""
    chosen = keras.optimizers.OptimizerMap(
        adamw(use_ema=False), {".*token_embedding.*": adamw()}
    )
    return keras.optimizers.MultiOptimizer(chosen)


def chosen_by_function(model):
    """Two optimizers that are not known before they are built."""
    averaging, plain = adamw(), adamw(use_ema=False)
    embeddings = model.vlm.backbone.token_embedding.embeddings
    return keras.optimizers.MultiOptimizer(
        lambda variable: averaging if variable is embeddings else plain
    )


def in_numpy(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def oracle_average(history, momentum=0.5):
    """An average that starts at the weights after the first step."""
    average = history[1]
    for weights in history[2:]:
        average = momentum * average + (1 - momentum) * weights
    return average


class Noted(keras.callbacks.Callback):
    """Notes a variable before training and after each epoch of one step."""

    def __init__(self, variable):
        super().__init__()
        self._variable = variable
        self.weights = in_numpy([variable])

    def on_epoch_end(self, epoch, logs=None):
        self.weights += in_numpy([self._variable])


@pytest.mark.parametrize("optimizer_of", [plain, scaled])
def test_the_average_is_lent_for_a_block(vlm, make_batches, optimizer_of):
    """Against NumPy; before and after the block, the weights are bitwise.

    Whether or not the optimizer stands in one that scales the loss.
    """
    model = BYORnModel(vlm)
    model.compile(optimizer_of(model))
    noted = Noted(vlm.backbone.token_embedding.embeddings)
    lent = []

    class Lend(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            before = in_numpy(vlm.weights)
            with averaged_weights(model):
                lent.extend(in_numpy([noted._variable]))
            for value, variable in zip(before, vlm.weights):
                np.testing.assert_array_equal(value, *in_numpy([variable]))

    model.fit(
        make_batches(vlm, batch_size=6),
        epochs=3,
        callbacks=[noted, Lend()],
        verbose=0,
    )
    for epoch in range(3):
        expected = oracle_average(noted.weights[: epoch + 2])
        np.testing.assert_allclose(lent[epoch], expected, atol=1e-6)
    assert np.abs(lent[-1] - noted.weights[-1]).max() > 1e-3
    # `fit` ends with it.
    np.testing.assert_allclose(*in_numpy([noted._variable]), lent[-1])


def test_an_average_within_several_optimizers(vlm, make_batches):
    """Weights whose optimizer keeps none stay as they are within the block."""
    model = BYORnModel(vlm)
    model.compile(several(model))
    embeddings = vlm.backbone.token_embedding.embeddings
    others = [v for v in vlm.trainable_variables if v is not embeddings]
    differences = []

    class Lend(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            before = in_numpy([embeddings, *others])
            with averaged_weights(model):
                within = in_numpy([embeddings, *others])
            after = in_numpy([embeddings, *others])
            differences.append(np.abs(before[0] - within[0]).max())
            for old, lent, new in zip(before, within, after):
                np.testing.assert_array_equal(old, new)
                if lent is not within[0]:
                    np.testing.assert_array_equal(old, lent)

    model.fit(make_batches(vlm), epochs=2, callbacks=[Lend()], verbose=0)
    assert differences[-1] > 1e-3


@pytest.mark.parametrize(
    "optimizer_of", [plain, scaled, several, chosen_by_function]
)
def test_every_optimizer_with_an_average_is_found(vlm, optimizer_of):
    """Alone, or in one that holds others."""
    model = BYORnModel(vlm)
    optimizer = optimizer_of(model)
    optimizer.build(model.trainable_variables)
    found = averaging_optimizers(optimizer)
    assert len(found) == 1 and isinstance(found[0], keras.optimizers.AdamW)
    assert averaging_optimizers(adamw(use_ema=False)) == []


@pytest.mark.parametrize("optimizer_of", [scaled, several, chosen_by_function])
def test_a_defended_fit_goes_on_in_a_second_one(
    make_vlm, make_examples, make_batches, optimizer_of
):
    """No weight shares its memory with an average that training gives away."""
    vlm = make_vlm()
    batches = make_batches(vlm, make_examples(6))
    model = BYORnModel(vlm)
    model.compile(optimizer_of(model))
    detector = OracleFlags({"scene-1"}, verbose=0)
    losses = []
    for _ in range(3):
        defence = BYORnCallback(detector=detector, verbose=0)
        history = model.fit(
            batches, epochs=2, callbacks=[defence], verbose=0
        ).history
        losses += history["loss"]
        assert np.isfinite(model.evaluate(batches, verbose=0)).all()
    assert losses[-1] < losses[0]
    assert np.isfinite(losses).all()


def test_an_inner_optimizer_without_variables_is_left_out(vlm):
    """It never steps, and the average of the other counts all the same."""
    optimizer = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(adamw(), {"nothing": adamw()})
    )
    optimizer.build(vlm.trainable_variables)
    assert not has_stepped(optimizer)
    used = optimizer.optimizers[-1]
    used.iterations.assign(1)
    assert has_stepped(optimizer)
    assert has_stepped(keras.optimizers.SGD())


def test_the_weights_come_back_after_an_error(vlm):
    """A crash while regenerating must not leave the average in place."""
    model = BYORnModel(vlm)
    model.compile(adamw())
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(1)
    before = in_numpy(vlm.trainable_variables)
    for variable in vlm.trainable_variables:
        variable.assign(variable + 1.0)
    first = vlm.trainable_variables[:1]
    with pytest.raises(RuntimeError), averaged_weights(model):
        assert not np.array_equal(before[0] + 1, *in_numpy(first))
        raise RuntimeError
    for value, variable in zip(before, vlm.trainable_variables):
        np.testing.assert_array_equal(value + 1, *in_numpy([variable]))


def test_a_second_fit_goes_on(make_vlm, make_examples, make_batches):
    """The first ends with the average in the model; the next starts there."""
    vlm = make_vlm()
    batches = make_batches(vlm, make_examples(4))
    model = BYORnModel(vlm)
    model.compile(adamw())
    losses = [
        model.fit(batches, epochs=2, verbose=0).history["loss"]
        for _ in range(2)
    ]
    assert max(losses[1]) < losses[0][0]
