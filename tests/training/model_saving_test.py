"""Saving and loading: outputs, training that goes on, and the reference."""

import warnings

import keras
import keras_hub
import numpy as np
import pytest

from keras_byorn.baselines import OracleFlags
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.scorers import MeanLogLikelihood, Regret
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.target_store import TargetStore


def compiled(vlm):
    model = BYORnModel(vlm)
    schedule = keras.optimizers.schedules.CosineDecay(0.01, decay_steps=20)
    model.compile(
        keras.optimizers.AdamW(schedule, use_ema=True, ema_momentum=0.5),
        weighted_metrics=["accuracy"],
    )
    return model


def defence(**kwargs):
    detector = OracleFlags({"scene-1"}, verbose=0)
    return BYORnCallback(detector=detector, verbose=0, **kwargs)


def in_numpy(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def logits_of(vlm, x):
    return keras.ops.convert_to_numpy(vlm(x, training=False))


def saved_and_loaded(model, folder):
    path = folder / "model.keras"
    model.save(path)
    return keras.saving.load_model(path)


@pytest.mark.parametrize("lora_rank", [None, 4])
def test_a_saved_preset_gives_equal_outputs(
    make_vlm, make_batches, tmp_path, lora_rank
):
    """The tuned task is the user's own: saved and loaded, it has its logits."""
    vlm = make_vlm(lora_rank=lora_rank)
    compiled(vlm)
    for variable in vlm.trainable_variables:
        variable.assign(variable + 0.2)
    x, _, _ = make_batches(vlm)[0]
    expected = logits_of(vlm, x)
    vlm.save_to_preset(str(tmp_path / "preset"))
    again = keras_hub.models.PaliGemmaCausalLM.from_preset(
        str(tmp_path / "preset")
    )
    np.testing.assert_allclose(logits_of(again, x), expected, atol=1e-5)
    np.testing.assert_array_equal(logits_of(vlm, x), expected)
    assert np.abs(logits_of(make_vlm(), x) - expected).max() > 0.1


def test_config_makes_an_equal_model(vlm, make_batches):
    """Saved as Keras saves: task, scorer and decision come back."""
    decision = FlagFraction(0.3, cut=-2.0)
    model = BYORnModel(vlm, scorer=Regret(), decision=decision)
    again = BYORnModel.from_config(model.get_config())
    assert type(again.vlm) is type(vlm) and again.vlm is not vlm
    assert type(again.scorer) is Regret
    assert again.decision.get_config() == decision.get_config()
    again.vlm.set_weights(vlm.get_weights())
    x, _, _ = make_batches(vlm)[0]
    np.testing.assert_allclose(
        logits_of(again.vlm, x), logits_of(vlm, x), atol=1e-5
    )
    plain = BYORnModel.from_config(BYORnModel(vlm).get_config())
    assert type(plain.scorer) is MeanLogLikelihood and plain.decision is None


@pytest.mark.parametrize("lora_rank", [None, 2])
@pytest.mark.parametrize("scored", [False, True])
def test_a_saved_model_comes_back(
    scored, lora_rank, make_vlm, make_batches, tmp_path
):
    """With its copy, while it had one; without, an error names the remedy."""
    vlm = make_vlm(lora_rank=lora_rank)
    model = compiled(vlm)
    batches = make_batches(vlm)
    if scored:
        model.fit(batches, callbacks=[defence()], verbose=0)
    else:
        for variable in model.trainable_variables:
            variable.assign(variable + 0.1)
    again = saved_and_loaded(model, tmp_path)
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


def test_weights_are_saved_and_loaded(make_vlm, make_batches, tmp_path):
    """Those of the student and of its copy, while there is one."""
    model, other = compiled(make_vlm()), compiled(make_vlm(seed=1))
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    for part in ("vlm", "reference"):
        pairs = zip(getattr(model, part).weights, getattr(other, part).weights)
        for own, loaded in pairs:
            np.testing.assert_array_equal(*in_numpy([own, loaded]))


def test_training_goes_on_after_loading(make_vlm, make_batches, tmp_path):
    """Optimizer, its steps, schedule and average are back, without a warning.

    The next epoch is that of the model that was not saved, to the bit.
    """
    vlm = make_vlm()
    model = compiled(vlm)
    model.fit(make_batches(vlm, shuffle=True), epochs=2, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        again = saved_and_loaded(model, tmp_path)
    assert again.compiled and type(again.optimizer) is type(model.optimizer)
    assert isinstance(again.optimizer, keras.optimizers.AdamW)
    assert int(again.optimizer.iterations) == 4
    rates = [float(m.optimizer.learning_rate) for m in (model, again)]
    assert rates[0] == rates[1] < 0.01
    assert again.optimizer.use_ema and again.optimizer.ema_momentum == 0.5
    pairs = zip(
        in_numpy(model.optimizer.variables),
        in_numpy(again.optimizer.variables),
        strict=True,
    )
    for own, loaded in pairs:
        np.testing.assert_array_equal(own, loaded)
    histories = [
        each.fit(
            make_batches(each.vlm, shuffle=True), epochs=2, verbose=0
        ).history
        for each in (model, again)
    ]
    assert histories[0] == histories[1]
    for own, loaded in zip(model.vlm.weights, again.vlm.weights, strict=True):
        np.testing.assert_array_equal(*in_numpy([own, loaded]))


def test_a_defended_run_goes_on_after_loading(make_vlm, make_batches, tmp_path):
    """Model and store, each from its file; nothing is scored again."""
    vlm = make_vlm()
    model = compiled(vlm)
    batches = make_batches(vlm)
    model.fit(batches, epochs=2, callbacks=[defence()], verbose=0)
    store = batches.store
    store.replace("scene-1", "red", [9])
    again = saved_and_loaded(model, tmp_path)
    assert again.reference.task is None
    store = TargetStore.load(store.save(tmp_path / "targets.parquet"))
    batches = make_batches(again.vlm, store=store)
    history = again.fit(
        batches, epochs=2, callbacks=[defence(sampler="random")], verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()
    assert history["num_suspect"] == [1, 1]
    assert history["num_regenerated"][0] == 1
    assert int(again.optimizer.iterations) == 4 + 4


def test_merged_adapters_are_not_trained_on(make_vlm, make_batches, tmp_path):
    """All weights would be tuned in their place, without a word.

    The loaded model serves for evaluation, and its task for a model anew.
    """
    model = compiled(make_vlm(lora_rank=2))
    for variable in model.trainable_variables:
        variable.assign(variable + 0.1)
    batches = make_batches(model.vlm)
    again = saved_and_loaded(model, tmp_path)
    twice = saved_and_loaded(again, tmp_path)
    for loaded in (again, twice):
        with pytest.raises(ValueError, match="load_lora_weights.*merged"):
            loaded.fit(make_batches(loaded.vlm), verbose=0)
    expected = model.evaluate(batches, verbose=0)
    found = twice.evaluate(make_batches(twice.vlm), verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    anew = compiled(twice.vlm)
    anew.fit(make_batches(twice.vlm), callbacks=[defence()], verbose=0)
