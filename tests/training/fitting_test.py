"""How many copies of the weights there are, and for how long."""

import weakref

import keras
import numpy as np
import pytest

from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.adapters import adapter_variables


@pytest.fixture
def mixed_bfloat16():
    """Weights in float32, computed with in bfloat16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def compiled(vlm, reference=None):
    model = BYORnModel(vlm, reference)
    optimizer = keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer=optimizer, weighted_metrics=["accuracy"])
    return model


def defence(scorer=None):
    scorer = scorer or MeanLogLikelihood()
    return BYORnCallback(FlagFraction(0.3), scorer, verbose=0)


def in_numpy(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def without(variables, others):
    others = set(map(id, others))
    return [variable for variable in variables if id(variable) not in others]


class Watch(keras.callbacks.Callback):
    """Notes in each epoch how many of some variables are in memory still."""

    def __init__(self, variables):
        super().__init__()
        # What takes the memory is the value, a `keras.Variable` only holds it.
        self._values = [weakref.ref(v.value) for v in variables]
        self._variables = [weakref.ref(v) for v in variables]
        self.alive = []

    def on_train_batch_end(self, batch, logs=None):
        self.alive.append(
            sum(r() is not None for r in self._values + self._variables)
        )


def test_the_copy_computes_in_the_models_own_type(
    mixed_bfloat16, make_vlm, make_batches
):
    """Half the memory, where the model computes in half precision anyway."""
    vlm = make_vlm()
    assert vlm.backbone.variable_dtype == "float32"
    batches = make_batches(vlm)
    itself = FrozenReference(vlm, adapters_off=True)  # and not frozen
    expected = itself.evidence(batches.originals(), 0)
    reference = FrozenReference.of(vlm)
    assert {v.dtype for v in reference.task.weights} == {"bfloat16"}
    found = reference.evidence(batches.originals(), 0)
    for values, wanted in zip(found, expected):
        np.testing.assert_allclose(values, wanted, atol=0.02)


def test_the_copy_of_a_float32_model_is_float32(make_vlm):
    """And its memory is its own, though no third set was made on the way."""
    vlm = make_vlm()

    def refuse():
        raise AssertionError("all weights at once")

    vlm.backbone.get_weights = refuse
    copy = FrozenReference.of(vlm).task
    before = in_numpy(copy.weights)
    assert {v.dtype for v in copy.weights} == {"float32"}
    for own, other in zip(copy.weights, vlm.weights, strict=True):
        np.testing.assert_array_equal(own, other)
        assert own.value is not other.value
        other.assign(other + 1.0)
    for own, value in zip(copy.weights, before):
        np.testing.assert_array_equal(own, value)


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
    model.fit(make_batches(vlm), verbose=0)  # as it comes, undefended
    assert np.isfinite(model.evaluate(batches, verbose=0)).all()
    assert len(model.predict(batches, verbose=0)) == 6


def test_a_copy_that_is_gone_is_missed_with_a_remedy(make_vlm, make_batches):
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
    """Whoever made it may need it; so may the next data set."""
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
        reference.log_likelihoods(batches.originals(), 0)[:6],
        batches.response_mask,
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
    weights = without(model.weights, model.diary.weights)
    assert len(weights) == num_base + len(adapters)
    # Two moments and the average, and two counters.
    assert len(model.optimizer.variables) == 3 * len(adapters) + 2
    batches = make_batches(vlm)
    model.fit(
        batches, callbacks=[defence()], verbose=0
    )  # as often as one likes
    assert batches.store.is_scored


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantized_base_is_defended_as_it_is(mode, make_vlm, make_batches):
    """Under adapters; the reference is the quantized model, to the bit."""
    vlm = make_vlm()
    vlm.preprocessor.build(None)
    vlm.backbone.quantize(mode)
    untouched = FrozenReference(vlm, adapters_off=True)
    batches = make_batches(vlm)
    expected = untouched.log_likelihoods(batches.originals(), 0)
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
    found = model.reference.log_likelihoods(batches.originals(), 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.isfinite(batches.store.plausibility).all()


@pytest.mark.parametrize("lora_rank", [None, 2])
@pytest.mark.parametrize("scored", [False, True])
def test_a_saved_model_comes_back(
    scored, lora_rank, make_vlm, make_batches, tmp_path
):
    """With its copy, while it had one; without, it says so when asked."""
    vlm = make_vlm(lora_rank=lora_rank)
    model = compiled(vlm)
    batches = make_batches(vlm)
    if scored:
        model.fit(batches, callbacks=[defence()], verbose=0)
    else:
        for variable in model.trainable_variables:
            variable.assign(variable + 0.1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x, y, extra = batches[0]
    logits, expected = in_numpy([again(x), model(x)])
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    mask = extra["response_mask"]
    if scored or lora_rank:
        with pytest.raises(ValueError, match="`reference` must be there"):
            again.reference(x, y, mask)
    else:
        found, expected = in_numpy(
            [m.reference(x, y, mask) for m in (again, model)]
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    model.load_weights(path)
