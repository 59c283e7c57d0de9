"""A frozen vision tower runs once for each image, in a whole fine-tune."""

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.response_writer import ResponseWriter
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.task import VisionLanguageTask

DECODER = ["query", "value"]  # adapted alone, so that the tower stays frozen


def decoder_adapted(make_vlm, **kwargs):
    vlm = make_vlm(**kwargs)
    vlm.backbone.enable_lora(4, target_layer_names=DECODER)
    return vlm


class Keys(keras.callbacks.Callback):
    """Notes the inputs of a batch at the beginning of each epoch."""

    def __init__(self, batches):
        super().__init__()
        self._batches = batches
        self.keys = []

    def on_epoch_begin(self, epoch, logs=None):
        self.keys.append(set(self._batches[0][0]))

    @property
    def embedded(self):
        return ["image_embeddings" in keys for keys in self.keys]


def fit(vlm, batches, reference=None, epochs=1, callbacks=()):
    """Fits; returns whether batches brought embeddings, epoch by epoch."""
    model = BYORnModel(vlm, reference=reference)
    model.compile(optimizer=keras.optimizers.SGD(0.1, use_ema=True))
    keys = Keys(batches)
    model.fit(batches, epochs=epochs, verbose=0, callbacks=[keys, *callbacks])
    for own in keys.keys:
        assert ("images" in own) != ("image_embeddings" in own)
    return keys.embedded


def embeddings_of(batches):
    """Embeddings of the first image, as they were kept in the last fit."""
    return batches.prepared.images._embeddings[[0]].values


@pytest.fixture
def watch(monkeypatch):
    """A function after which a tower fails, but where it encodes images.

    It returns a list, to which the images that the tower is shown are added.
    """

    def start(vlm):
        shown, encode = [], VisionLanguageTask.encode_images
        tower = type(vlm.backbone.vit_encoder)
        call = tower.__call__

        def fail(*args, **kwargs):
            raise AssertionError("the vision tower is called, or traced")

        def note(task, vision, images):
            shown.extend(image.tobytes() for image in images)
            with monkeypatch.context() as inside:
                inside.setattr(tower, "__call__", call)
                return encode(task, vision, images)

        monkeypatch.setattr(tower, "__call__", fail)
        monkeypatch.setattr(VisionLanguageTask, "encode_images", note)
        return shown

    return start


def test_the_tower_sees_each_image_once(
    make_vlm, make_examples, make_batches, watch
):
    """In a defended run: scoring, training, review, regenerating."""
    vlm = decoder_adapted(make_vlm)
    examples = make_examples(6)
    examples[5]["images"] = examples[0]["images"].copy()
    batches = make_batches(vlm, examples, batch_size=5)
    # A suspect that the review restores would not be regenerated.
    detector = Detector(decision=FlagFraction(0.4), verbose=0)
    defence = BYORnCallback(detector=detector, teacher="none", verbose=0)
    write = ResponseWriter(batches.prepared, "greedy", batch_size=5)
    regeneration = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: write([0, 5], verbose=0)
    )
    shown, callbacks = watch(vlm), [defence, regeneration]
    assert fit(vlm, batches, epochs=2, callbacks=callbacks) == [True] * 2
    assert len(shown) == 5
    assert set(shown) == {e["images"].tobytes() for e in examples}


def test_outside_of_fit_batches_bring_images(make_vlm, make_batches):
    """They may be shown to another model then."""
    vlm = decoder_adapted(make_vlm)
    batches = make_batches(vlm)
    assert fit(vlm, batches) == [True]
    for x in (batches[0][0], batches.prepared.scoring_batches()[0][0]):
        assert set(x) == set(batches.task.input_names)
    assert BYORnModel(vlm).predict(batches, verbose=0).shape[0] == 6


def test_a_failing_fit_leaves_images(make_vlm, make_batches):
    """An error between epochs must not leave embeddings behind."""
    vlm = decoder_adapted(make_vlm)
    batches = make_batches(vlm)

    def fail(epoch, logs):
        raise RuntimeError

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=fail)
    with pytest.raises(RuntimeError):
        fit(vlm, batches, callbacks=[callback])
    assert "images" in batches[0][0]


def test_the_next_fit_sees_what_changed(make_vlm, make_batches, watch):
    """The tower's weights; of images, what was checked is shown."""
    vlm = decoder_adapted(make_vlm)
    batches, shown = make_batches(vlm, batch_size=1), watch(vlm)
    fit(vlm, batches)
    assert len(shown) == 6
    fit(vlm, batches)
    assert len(shown) == 6
    batches.examples[2]["images"][0, 0, 0] ^= 255
    fit(vlm, batches)
    assert len(shown) == 6
    batches.examples[2]["images"][0, 0, 0] ^= 255
    before = embeddings_of(batches)
    variable = vlm.backbone.vit_encoder.weights[0]
    variable.assign(variable + 1.0)
    fit(vlm, batches)
    assert len(shown) == 6 + 6
    assert np.abs(embeddings_of(batches) - before).max() > 0.1


@pytest.mark.parametrize(
    "how", ["everything", "default adapters", "adapters that are frozen"]
)
def test_a_tower_that_may_change_is_shown_images(make_vlm, make_batches, how):
    """Trained with the rest, adapted, or seen otherwise by the reference."""
    vlm = make_vlm(lora_rank=None if how == "everything" else 4)
    if how == "adapters that are frozen":
        vlm.backbone.vit_encoder.trainable = False
        for variable in vlm.backbone.vit_encoder.variables:
            variable.trainable = False
    assert VisionLanguageTask(vlm).frozen_vision() is None
    assert fit(vlm, make_batches(vlm)) == [False]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_frozen_tower_needs_no_adapters(make_vlm, make_batches, policy):
    """The reference is a copy of the whole, which sees the same.

    In mixed precision the copy's weights are of the lower one.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        vlm = make_vlm()
    finally:
        keras.config.set_dtype_policy(before)
    vlm.backbone.vit_encoder.trainable = False
    reference = FrozenReference.of(vlm)
    assert reference.task is not vlm
    assert fit(vlm, make_batches(vlm), reference) == [True]


@pytest.mark.parametrize("seed, same", [(0, True), (1, False)])
def test_a_reference_with_another_tower_is_shown_images(
    make_vlm, make_batches, seed, same
):
    """Embeddings of the student's tower mean nothing to another decoder."""
    vlm = decoder_adapted(make_vlm, seed=0)
    reference = FrozenReference(make_vlm(seed=seed))
    batches = make_batches(vlm)
    assert fit(vlm, batches, reference) == [same]
    expected = reference.log_likelihoods(
        batches.prepared.scoring_batches(), verbose=0
    )
    with batches.prepared.images_encoded(batches.task.frozen_vision()):
        found = reference.log_likelihoods(
            batches.prepared.scoring_batches(), verbose=0
        )
    close = np.allclose(found, expected, atol=1e-5)
    assert close == same


def test_the_cache_can_be_off_or_in_a_folder(make_vlm, make_batches, tmp_path):
    """`None` is images; a folder is there after the run."""
    vlm = decoder_adapted(make_vlm)
    assert fit(vlm, make_batches(vlm, image_cache=None)) == [False]
    folder = tmp_path / "new"
    assert fit(vlm, make_batches(vlm, image_cache=folder)) == [True]
    assert len(list(folder.iterdir())) == 2


def test_a_bfloat16_model_keeps_bfloat16(make_vlm, make_batches):
    """And trains on it, on every backend."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        vlm = decoder_adapted(make_vlm)
        batches = make_batches(vlm)
        assert fit(vlm, batches) == [True]
    finally:
        keras.config.set_dtype_policy(before)
    assert embeddings_of(batches).dtype == np.dtype(ml_dtypes.bfloat16)
