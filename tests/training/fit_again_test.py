"""A second `fit`, other data, and callbacks that a user may bring."""

import keras
import numpy as np
import pytest

import keras_byorn
from keras_byorn.baselines import OracleFlags
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detector import Detector
from keras_byorn.training.ema import averaged_weights


def compiled(vlm, **kwargs):
    model = keras_byorn.BYORnModel(vlm, **kwargs)
    model.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5))
    return model


def some_flagged(**kwargs):
    """A defence that finds suspects, reviews them and writes."""
    detector = Detector(decision=FlagFraction(0.3), verbose=0)
    return keras_byorn.BYORnCallback(detector=detector, verbose=0, **kwargs)


def weights_of(model):
    variables = model.vlm.trainable_variables
    return [keras.ops.convert_to_numpy(v) for v in variables]


def test_a_new_optimizer_has_no_average_yet(vlm, make_batches):
    """Its average is all zeros until the first step."""
    model = compiled(vlm)
    model.fit(make_batches(vlm), verbose=0)
    model.compile(keras.optimizers.AdamW(1e-4, use_ema=True, ema_momentum=0.5))
    before = weights_of(model)
    with averaged_weights(model):
        for own, other in zip(before, weights_of(model)):
            np.testing.assert_array_equal(own, other)


def test_other_data_and_then_the_first_again(make_vlm, make_batches):
    """The losses of the first are gone by then: it begins anew."""
    vlm = make_vlm(lora_rank=2)
    model = compiled(vlm)
    pairs = [(make_batches(vlm), some_flagged()) for _ in range(2)]
    for batches, defence in [*pairs, pairs[0]]:
        model.fit(batches, epochs=2, callbacks=[defence], verbose=0)
    assert np.isfinite(model.loss_history.result()[0]).any()


def test_losses_do_not_pile_up_on_the_device(vlm, make_batches):
    model = compiled(vlm)
    model.fit(make_batches(vlm), epochs=3, verbose=0)
    assert model.loss_history._pending == []


def test_steps_are_counted_on_after_weights_are_set_back(vlm, make_batches):
    """As by `EarlyStopping(restore_best_weights=True)`."""
    model, batches = compiled(vlm), make_batches(vlm)
    batches.store.set_scores(np.zeros(6), [0, 0, 0, 0, 0, 1])
    model.fit(batches, epochs=2, verbose=0)
    first, steps = model.loss_history.result()
    assert np.isnan(first[5]) and steps.max() == 2
    for register in model.loss_history.registers:
        register.assign(np.zeros(register.shape, register.dtype))
    batches.store.review({5: "restored"}, np.zeros(6))
    model.fit(batches, verbose=0)
    later, steps = model.loss_history.result()
    np.testing.assert_array_equal(later[:5], first[:5])
    assert np.isfinite(later[5]) and steps[5] in (5, 6)


def test_a_callback_list_is_taken_and_left_as_it_was(vlm, make_batches):
    model, defence = compiled(vlm), some_flagged()
    callbacks = keras.callbacks.CallbackList(
        [defence],
        add_history=True,
        model=model,
        epochs=2,
        steps=2,
        verbose=0,
    )
    given = list(callbacks.callbacks)
    model.fit(make_batches(vlm), epochs=2, callbacks=callbacks, verbose=0)
    assert callbacks.callbacks == given
    # The review looked at the suspects between the epochs.
    suspects = defence.detection.suspects
    looked_at = np.isfinite(defence.store.student_plausibility)
    assert suspects.any() and looked_at[suspects].all()


def test_the_progress_bar_of_the_user_is_the_only_one(
    vlm, make_batches, capsys
):
    model = compiled(vlm)
    model.fit(
        make_batches(vlm, verbose=0),
        callbacks=[some_flagged(), keras.callbacks.ProgbarLogger()],
        verbose=2,
    )
    assert "Targets:" not in capsys.readouterr().out


def test_a_detection_of_other_scores_is_refused(vlm, make_batches):
    """The audit would give reasons for verdicts that are not there."""
    batches = make_batches(vlm)
    detection = keras_byorn.detect(
        batches.prepared, vlm, Detector(decision=FlagFraction(0.3), verbose=0)
    )
    batches.store.set_scores(np.arange(6.0), np.zeros(6))
    defence = keras_byorn.BYORnCallback(detection, verbose=0)
    with pytest.raises(ValueError, match="other scores, such as of 'scene-0'"):
        compiled(vlm).fit(batches, callbacks=[defence], verbose=0)


def test_one_defence_on_data_with_flags_of_their_own(
    make_vlm, make_batches, make_examples
):
    """What it found before accounts for nothing here."""
    vlm = make_vlm(lora_rank=2)
    model, defence = compiled(vlm), some_flagged()
    model.fit(make_batches(vlm), callbacks=[defence], verbose=0)
    second = make_batches(vlm, make_examples(4))
    second.store.set_scores(np.arange(4.0), [0, 0, 0, 1])
    model.fit(second, callbacks=[defence], verbose=0)
    assert defence.detection is None
    assert len(defence.audit()) == 4


@pytest.mark.parametrize("missing", ["maxima", "tokens"])
def test_masks_need_the_tokens_of_the_task(vlm, make_batches, missing):
    batches = make_batches(vlm)
    prepared = batches.prepared
    length = {"maxima": prepared.response_mask, "tokens": np.ones((6, 9), bool)}
    mask = np.asarray(length[missing])
    log_likelihoods = np.where(mask, -1.0, 0.0).astype("float32")
    maxima = None if missing == "maxima" else log_likelihoods
    detection = OracleFlags(
        {prepared.example_ids[0]},
        scorer=keras_byorn.MeanLogLikelihood(),
        verbose=0,
    ).decide(
        keras_byorn.TokenScores(log_likelihoods, maxima, mask),
        prepared.prompts,
        prepared.responses,
        prepared.example_ids,
    )
    defence = keras_byorn.BYORnCallback(detection, suspects="mask", verbose=0)
    with pytest.raises(ValueError, match="suspects='mask'"):
        compiled(vlm).fit(batches, callbacks=[defence], verbose=0)
    assert not batches.store.is_scored
    replacing = keras_byorn.BYORnCallback(detection, verbose=0)
    compiled(vlm).fit(batches, callbacks=[replacing], verbose=0)
    assert len(replacing.audit()) == 6


def test_everything_frozen_later_is_refused(vlm, make_batches):
    model, batches = compiled(vlm), make_batches(vlm)
    vlm.trainable = False
    with pytest.raises(ValueError, match="something to train"):
        model.fit(batches, callbacks=[some_flagged()], verbose=0)
    assert not batches.store.is_scored


@pytest.mark.parametrize("kind", ["examples", "another task"])
def test_validation_data_are_checked_first(
    vlm, make_vlm, make_batches, make_examples, kind
):
    batches = make_batches(vlm)
    validation = {
        "examples": lambda: keras_byorn.Examples(make_examples()),
        "another task": lambda: make_batches(make_vlm()),
    }[kind]()
    with pytest.raises(ValueError, match="TargetBatches"):
        compiled(vlm).fit(
            batches,
            validation_data=validation,
            callbacks=[some_flagged()],
            verbose=0,
        )
    assert not batches.store.is_scored


def test_lora_beside_a_reference_of_its_own_is_guarded(
    make_vlm, make_batches, tmp_path
):
    """Adapters are merged in files, whatever the reference is."""
    vlm = make_vlm(lora_rank=2)
    model = compiled(vlm, reference=keras_byorn.FrozenReference(make_vlm()))
    path = str(tmp_path / "x.weights.h5")
    model.save_weights(path)
    with pytest.raises(ValueError, match="load_lora_weights"):
        model.load_weights(path)
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    with pytest.raises(ValueError, match="`ModelCheckpoint` with LoRA"):
        model.fit(make_batches(vlm), callbacks=[checkpoint], verbose=0)
    assert model.get_config()["adapters_merged"]


def test_a_fit_without_an_epoch_is_refused(vlm, make_batches):
    """Keras would end it with an average of nothing: all weights zero."""
    with pytest.raises(ValueError, match="initial_epoch=2, epochs=2"):
        compiled(vlm).fit(make_batches(vlm), epochs=2, initial_epoch=2)


@pytest.mark.parametrize("edge", ["on_epoch_begin", "on_train_batch_begin"])
def test_an_error_before_the_first_step_leaves_the_weights(
    vlm, make_batches, edge
):
    """Keras would end it with an average of nothing, on JAX."""

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    model, batches = compiled(vlm), make_batches(vlm)
    before = weights_of(model)
    failing = keras.callbacks.Callback()
    setattr(failing, edge, fail)
    with pytest.raises(KeyboardInterrupt):
        model.fit(batches, callbacks=[failing], verbose=0)
    for own, other in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(own, other)
    model.fit(batches, verbose=0)


def test_an_interrupted_first_step_leaves_the_weights(
    vlm, make_batches, monkeypatch
):
    """Its program is compiled when the weights are out of the model."""

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    model, batches = compiled(vlm), make_batches(vlm)
    before = weights_of(model)
    with monkeypatch.context() as patch:
        patch.setattr(type(model), "objective", fail)
        # On JAX, Keras fails once more while it cleans up.
        with pytest.raises((KeyboardInterrupt, TypeError)):
            model.fit(batches, verbose=0)
    for own, other in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(own, other)
    model.fit(batches, verbose=0)
