"""Copies of the weights in memory: their number, and for how long."""

import weakref

import keras
import numpy as np
import pytest

from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.adapters import adapter_variables


def compiled(vlm, reference=None):
    model = BYORnModel(vlm, reference)
    optimizer = keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer=optimizer, weighted_metrics=["accuracy"])
    return model


def defence():
    decision = FlagFraction(0.3)
    detector = Detector(MeanLogLikelihood(), decision, verbose=0)
    return BYORnCallback(detector=detector, verbose=0)


def in_numpy(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def without(variables, others):
    others = set(map(id, others))
    return [variable for variable in variables if id(variable) not in others]


class Watch(keras.callbacks.Callback):
    """Counts in each step the variables that are in memory still."""

    def __init__(self, variables):
        super().__init__()
        # The value takes the memory, a `keras.Variable` only holds it.
        self._values = [weakref.ref(v.value) for v in variables]
        self._variables = [weakref.ref(v) for v in variables]
        self.alive = []

    def on_train_batch_end(self, batch, logs=None):
        self.alive.append(
            sum(r() is not None for r in self._values + self._variables)
        )


def test_the_copy_is_gone_once_it_has_scored(make_vlm, make_batches):
    """From the first step on, after a fit without the defence too.

    Nothing is missing later: the audit, further epochs, predictions.
    """
    vlm = make_vlm()
    model = compiled(vlm)
    model.fit(make_batches(vlm), verbose=0)  # scores nothing, keeps the copy
    assert model.reference.task is not None
    num_weights = len(model.weights)
    watch = Watch(model.reference.task.weights)
    batches = make_batches(vlm)
    defended = defence()
    model.fit(batches, epochs=2, callbacks=[defended, watch], verbose=0)
    assert set(watch.alive) == {0}
    assert len(model.weights) == num_weights - len(vlm.weights)
    assert defended.audit().table.num_rows == 6
    model.fit(batches, callbacks=[defended], verbose=0)
    model.fit(make_batches(vlm), verbose=0)  # undefended
    assert np.isfinite(model.evaluate(batches, verbose=0)).all()
    assert len(model.predict(batches, verbose=0)) == 6


def test_a_missing_copy_is_an_error_with_a_remedy(make_vlm, make_batches):
    """The student is not what it was, and must not judge in its place."""
    vlm = make_vlm()
    model = compiled(vlm)
    batches = make_batches(vlm)
    model.fit(batches, callbacks=[defence()], verbose=0)
    message = "FrozenReference\\(second\\).*without its task"
    with pytest.raises(ValueError, match=message):
        model.fit(make_batches(vlm), callbacks=[defence()], verbose=0)
    stream = [(x, y, extra["response_mask"]) for x, y, extra in batches]
    with pytest.raises(ValueError, match=message):
        model.calibrate(stream, FlagFraction(0.3), verbose=0)


def test_a_reference_that_was_given_stays(make_vlm, make_batches):
    """The next data set may need it, or whoever made it."""
    vlm = make_vlm()
    reference = FrozenReference(make_vlm())
    model = compiled(vlm, reference)
    for _ in range(2):
        batches = make_batches(vlm)
        model.fit(batches, callbacks=[defence()], verbose=0)
        assert batches.store.is_scored
    assert reference.task is not None
    # The pretrained model judged both times, not the student.
    expected = MeanLogLikelihood()(
        reference.log_likelihoods(batches.prepared.scoring_batches(), 0)[:6],
        batches.prepared.response_mask,
    )
    np.testing.assert_allclose(
        batches.store.plausibility, in_numpy([expected])[0], atol=1e-6
    )


def test_lora_has_one_set_of_weights(make_vlm, make_batches):
    """Reference, student and teacher share the base; adapters come on top."""
    vlm = make_vlm()
    num_base = len(vlm.weights)
    vlm.backbone.enable_lora(2)
    adapters = adapter_variables(vlm)
    model = compiled(vlm)
    model.fit(make_batches(vlm), callbacks=[defence()], verbose=0)
    weights = without(model.weights, model.loss_history.weights)
    assert len(weights) == num_base + len(adapters)
    # Two moments and the average, and two counters.
    assert len(model.optimizer.variables) == 3 * len(adapters) + 2
    batches = make_batches(vlm)
    # As often as one likes.
    model.fit(batches, callbacks=[defence()], verbose=0)
    assert batches.store.is_scored


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantized_base_is_defended_as_it_is(mode, make_vlm, make_batches):
    """Under adapters; the reference is the quantized model, to the bit."""
    vlm = make_vlm()
    vlm.preprocessor.build(None)
    vlm.backbone.quantize(mode)
    untouched = FrozenReference(vlm, adapters_off=True)
    batches = make_batches(vlm)
    expected = untouched.log_likelihoods(batches.prepared.scoring_batches(), 0)
    vlm.backbone.enable_lora(2)
    adapters = adapter_variables(vlm)
    assert adapters
    base = without(vlm.weights, adapters)
    assert "int8" in {v.dtype for v in base}
    model = compiled(vlm)
    assert model.reference.task is vlm
    before, b = in_numpy(base), in_numpy(adapters)
    model.fit(batches, epochs=2, callbacks=[defence()], verbose=0)
    for value, variable in zip(before, base):
        np.testing.assert_array_equal(variable, value)
    assert any((v != w).any() for v, w in zip(b, in_numpy(adapters)))
    found = model.reference.log_likelihoods(
        batches.prepared.scoring_batches(), 0
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.isfinite(batches.store.plausibility).all()
