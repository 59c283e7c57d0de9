"""Refusals of `fit` come before any example is scored."""

import keras
import numpy as np
import pytest

import keras_byorn
from keras_byorn.detection.reference import FrozenReference

OPTIMIZER = "adamw"


@pytest.fixture
def never_scored(monkeypatch):
    """Fails where a reference scores."""

    def score(*args, **kwargs):
        raise AssertionError("scored before the refusal")

    monkeypatch.setattr(FrozenReference, "score", score)


@pytest.fixture
def model(vlm):
    model = keras_byorn.BYORnModel(vlm)
    model.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5))
    return model


@pytest.fixture
def lora_model(make_vlm):
    model = keras_byorn.BYORnModel(make_vlm(lora_rank=2))
    model.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5))
    return model


def defence(**kwargs):
    return keras_byorn.BYORnCallback(verbose=0, **kwargs)


def test_a_model_that_is_not_compiled(vlm, make_batches, never_scored):
    """The words are those of Keras."""
    model = keras_byorn.BYORnModel(vlm)
    with pytest.raises(ValueError, match=r"call `compile\(\)` before"):
        model.fit(make_batches(vlm), callbacks=[defence()], verbose=0)


@pytest.mark.parametrize(
    "argument",
    [
        {"y": np.zeros(3)},
        {"batch_size": 4},
        {"sample_weight": np.ones(3)},
        {"class_weight": {0: 1.0}},
        {"steps_per_epoch": 2},
        {"validation_split": 0.1},
    ],
    ids=lambda argument: next(iter(argument)),
)
def test_arguments_that_keras_would_refuse(
    model, make_batches, never_scored, argument
):
    (name,) = argument
    with pytest.raises(ValueError, match=f"`{name}` must be left out"):
        model.fit(
            make_batches(model.vlm),
            callbacks=[defence()],
            verbose=0,
            **argument,
        )


def test_steps_per_execution_on_a_backend_without(
    model, make_batches, never_scored, monkeypatch
):
    """PyTorch has no loop of several steps."""
    monkeypatch.setattr(type(model), "max_steps_per_execution", 1)
    model.compile(keras.optimizers.AdamW(use_ema=True), steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution=2"):
        model.fit(make_batches(model.vlm), callbacks=[defence()], verbose=0)


@pytest.mark.parametrize("kind", ["examples", "rows", "columns", "prepared"])
def test_examples_that_are_no_batches(model, make_examples, kind):
    rows = make_examples()
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    given = {
        "rows": lambda: rows,
        "columns": lambda: columns,
        "examples": lambda: keras_byorn.Examples(rows),
        "prepared": lambda: keras_byorn.PreparedExamples(
            rows, model.vlm, verbose=0
        ),
    }[kind]()
    with pytest.raises(ValueError, match="keras_byorn.TargetBatches"):
        model.fit(given, verbose=0)


def test_batches_of_another_task(model, make_vlm, make_batches, never_scored):
    with pytest.raises(ValueError, match="another PaliGemmaCausalLM"):
        model.fit(make_batches(make_vlm()), verbose=0)


def test_two_defences(model, make_batches, never_scored):
    with pytest.raises(ValueError, match="one `BYORnCallback`"):
        model.fit(
            make_batches(model.vlm),
            callbacks=[defence(), defence()],
            verbose=0,
        )


def test_a_defence_of_a_stream(model, make_batches):
    """A stream has no ids to replace targets by."""
    stream = make_batches(model.vlm).prepared.scoring_batches()
    with pytest.raises(ValueError, match="not fitted on TargetBatches"):
        model.fit(stream, callbacks=[defence()], verbose=0)


def test_no_average_for_the_teacher(vlm, make_batches, never_scored):
    model = keras_byorn.BYORnModel(vlm)
    model.compile(keras.optimizers.AdamW(1e-3))
    with pytest.raises(ValueError, match="use_ema=False"):
        model.fit(make_batches(vlm), callbacks=[defence()], verbose=0)


def test_a_lagging_average_warns(model, make_batches):
    model.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.99))
    with pytest.warns(UserWarning, match="ema_momentum=0.99 with 2 steps"):
        model.fit(make_batches(model.vlm), callbacks=[defence()], verbose=0)


def test_lora_that_is_enabled_too_late(model, make_batches, never_scored):
    model.vlm.backbone.enable_lora(2)
    with pytest.raises(ValueError, match="must come before `BYORnModel"):
        model.fit(make_batches(model.vlm), callbacks=[defence()], verbose=0)


def test_weights_beside_adapters_that_are_made_trainable(
    lora_model, make_batches, never_scored
):
    """With adapters off they would not be what they were."""
    vlm = lora_model.vlm
    embedding = vlm.backbone.token_embedding
    for variable in embedding.variables:
        variable.trainable = True
    embedding.trainable = True
    with pytest.raises(ValueError, match="must stay frozen"):
        lora_model.fit(make_batches(vlm), callbacks=[defence()], verbose=0)


def test_layers_that_are_frozen_later_are_no_fault(model, make_batches):
    """The reference is a copy of the weights before training all the same."""
    model.vlm.backbone.vit_encoder.trainable = False
    model.compile(keras.optimizers.SGD(1e-3, use_ema=True, ema_momentum=0.5))
    before = [
        keras.ops.convert_to_numpy(w)
        for w in model.vlm.backbone.vit_encoder.weights
    ]
    model.fit(
        make_batches(model.vlm), epochs=2, callbacks=[defence()], verbose=0
    )
    for old, new in zip(before, model.vlm.backbone.vit_encoder.weights):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


@pytest.mark.parametrize("name", ["BackupAndRestore", "ModelCheckpoint"])
def test_callbacks_that_merge_adapters(
    lora_model, make_batches, never_scored, name, tmp_path
):
    path = str(tmp_path / "x.weights.h5")
    kwargs = {} if name == "BackupAndRestore" else {"save_weights_only": True}
    callback = getattr(keras.callbacks, name)(path, **kwargs)
    with pytest.raises(ValueError, match=f"must not have `{name}` with LoRA"):
        lora_model.fit(
            make_batches(lora_model.vlm),
            callbacks=[callback, defence()],
            verbose=0,
        )


def test_checkpoints_of_all_weights_are_no_fault(model, make_batches, tmp_path):
    path = str(tmp_path / "x.weights.h5")
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    model.fit(
        make_batches(model.vlm), callbacks=[checkpoint, defence()], verbose=0
    )
    model.load_weights(path)


def test_load_weights_with_lora_is_refused(lora_model, tmp_path):
    path = str(tmp_path / "x.weights.h5")
    lora_model.save_weights(path)
    with pytest.raises(ValueError, match="load_lora_weights"):
        lora_model.load_weights(path)


def test_merged_adapters_are_noticed(
    lora_model, make_batches, never_scored, tmp_path
):
    """Whatever set them to zero, no gradient would reach them."""
    path = str(tmp_path / "x.weights.h5")
    lora_model.vlm.save_weights(path)
    lora_model.vlm.load_weights(path)
    with pytest.raises(ValueError, match="must not all be zero"):
        lora_model.fit(
            make_batches(lora_model.vlm), callbacks=[defence()], verbose=0
        )


def test_devices_must_divide_the_batch(
    model, make_batches, never_scored, monkeypatch
):
    class Mesh:
        shape, axis_names = (3, 2), ["batch", "model"]

    class Distribution:
        device_mesh, batch_dim_name = Mesh, "batch"

    monkeypatch.setattr(
        keras.distribution, "distribution", lambda: Distribution
    )
    with pytest.raises(ValueError, match=r"TargetBatches\(batch_size=6\)"):
        model.fit(make_batches(model.vlm), callbacks=[defence()], verbose=0)


@pytest.mark.parametrize("lora_rank", [None, 2])
def test_validation_asks_no_reference(
    make_vlm, make_batches, make_examples, lora_rank
):
    """A plain stream beside `TargetBatches`, and no threshold anywhere."""
    vlm = make_vlm(lora_rank=lora_rank)
    model = keras_byorn.BYORnModel(vlm)
    model.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5))
    batches = make_batches(vlm)
    x, y, extra = batches.prepared.scoring_batches()[0]
    stream = x, y, extra["response_mask"].astype("float32")
    history = model.fit(
        batches,
        epochs=2,
        validation_data=stream,
        callbacks=[defence()],
        verbose=0,
    )
    assert np.isfinite(history.history["val_loss"]).all()
    scoring = batches.prepared.scoring_batches()
    found, mask = model.score(scoring, 0).log_likelihoods, scoring.response_mask
    losses = -found[: len(y)].sum(axis=-1) / mask[: len(y)].sum(axis=-1)
    alone = model.evaluate(x, y, sample_weight=stream[2], verbose=0)
    np.testing.assert_allclose(alone, losses.mean(), rtol=1e-4)
