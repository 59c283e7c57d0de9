"""Embeddings of images: computed once, found again, and never stale."""

import gc
import pathlib

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_byorn.data.examples import Examples
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.data.views import (
    BlankImage,
    Blur,
    NoPrompt,
    ShuffledImage,
)
from keras_byorn.targets import image_embeddings
from keras_byorn.data.image_embeddings import ImageEmbeddings
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.regeneration import Regenerator
from keras_byorn.vlm.task import VisionLanguageTask

DECODER = ["query", "value"]  # what to adapt, so that the tower stays frozen
BATCH_SIZE = 2


class FakeTask:
    """Its tower returns an image's first pixel, six times.

    Args:
        most: int. Images of one example.
        key: string. The state of the tower.
        dtype: NumPy dtype of the embeddings.
    """

    def __init__(self, most=1, key="weights", dtype="float32"):
        self.num_images = (0, most)
        self.family = self
        self.image_axis = most > 1
        self.key = key
        self.dtype = dtype
        self.encoded = []

    def vision_digest(self, vision):
        return self.key

    def encode_images(self, vision, images):
        values = np.array([image.flat[0] for image in images])
        self.encoded.append(list(values))
        return np.tile(values[:, None, None], (1, 2, 3)).astype(self.dtype)


def picture(value):
    return np.full((4, 4, 3), value, "uint8")


def make(*values):
    """Examples whose images have these values; a list has several images."""
    several = any(isinstance(value, list) for value in values)
    images = [
        [picture(v) for v in value] if several else picture(value)
        for value in values
    ]
    rows = [
        {"example_id": str(i), "images": own, "prompts": "p", "responses": "r"}
        for i, own in enumerate(images)
    ]
    return Examples(rows)


def refresh(embeddings, examples, task):
    """Refreshes; returns what the tower was shown, without the filling."""
    task.encoded.clear()
    assert embeddings.refresh(examples, task, None, BATCH_SIZE)
    assert all(len(batch) == BATCH_SIZE for batch in task.encoded)
    shown = [value for batch in task.encoded for value in batch]
    return list(dict.fromkeys(shown))


def found(embeddings, examples, indices=None):
    """The value of each image, read back; all of a row must agree."""
    indices = range(len(examples)) if indices is None else indices
    values = embeddings[list(indices)].values
    assert (values == values[..., :1, :1]).all()
    return values[..., 0, 0].tolist()


def in_folder(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


def test_copies_are_encoded_once():
    """In full batches, and each example finds its own."""
    task, embeddings = FakeTask(), ImageEmbeddings()
    examples = make(5, 7, 5, 9, 7)
    assert refresh(embeddings, examples, task) == [5, 7, 9]
    assert task.encoded == [[5, 7], [9, 9]]
    assert embeddings[[0, 1]].shape == (2, 2, 3)
    assert found(embeddings, examples) == [5, 7, 5, 9, 7]
    assert found(embeddings, examples, [3, 0]) == [9, 5]


def test_several_images_stand_in_their_order():
    """Zeros stand where an example has fewer, or none."""
    task, embeddings = FakeTask(most=2), ImageEmbeddings()
    examples = make([5, 7], [], [7])
    assert refresh(embeddings, examples, task) == [5, 7]
    assert embeddings[[0]].shape == (1, 2, 2, 3)
    assert found(embeddings, examples) == [[5, 7], [0, 0], [7, 0]]


def test_no_image_at_all_is_told():
    """There is nothing to keep, and no size to make zeros of."""
    task, embeddings = FakeTask(most=2), ImageEmbeddings()
    assert not embeddings.refresh(make([], []), task, None, BATCH_SIZE)


@pytest.mark.parametrize("place", ["memory", "temporary", "folder"])
def test_only_what_is_new_is_encoded(place, tmp_path, monkeypatch):
    """Nothing the second time; then what changed; all with new weights."""
    if place == "temporary":
        monkeypatch.setattr(image_embeddings, "MAX_BYTES", 30)
    task = FakeTask()
    embeddings = ImageEmbeddings(tmp_path if place == "folder" else None)
    refresh(embeddings, make(5, 7, 9), task)
    assert refresh(embeddings, make(9, 5, 5), task) == []
    examples = make(9, 6, 5)
    assert refresh(embeddings, examples, task) == [6]
    assert found(embeddings, examples) == [9, 6, 5]
    # What no example had any more was let go, but for a folder of the user's,
    # which serves other runs too.
    kept = place == "folder"
    assert refresh(embeddings, make(7, 9), task) == ([] if kept else [7])
    task.key = "other weights"
    assert refresh(embeddings, examples, task) == [9, 6, 5]
    assert found(embeddings, examples) == [9, 6, 5]


def test_a_dtype_or_shape_makes_another_image():
    """The same bytes may be other pixels."""
    tall, wide = np.zeros((2, 4, 3), "uint8"), np.zeros((4, 2, 3), "uint8")
    images = [tall, wide, tall.view("int8"), tall]
    digests = [image_embeddings.digest([image]) for image in images]
    assert digests[0] == digests[3] and len(set(digests)) == 3


def test_beyond_the_budget_they_are_a_file(monkeypatch):
    """Of three images of 24 bytes each; it goes when nobody needs it."""
    task, examples = FakeTask(), make(5, 7, 9)
    monkeypatch.setattr(image_embeddings, "MAX_BYTES", 72)
    small = ImageEmbeddings()
    refresh(small, examples, task)
    assert not isinstance(small._stored.array, np.memmap)
    monkeypatch.setattr(image_embeddings, "MAX_BYTES", 71)
    large = ImageEmbeddings()
    refresh(large, examples, task)
    assert isinstance(large._stored.array, np.memmap)
    assert found(large, examples) == [5, 7, 9]
    path = large._stored.path
    assert path.stat().st_size == 72
    del large
    gc.collect()
    assert not path.exists()


def test_a_folder_serves_the_next_run(tmp_path):
    """It encodes nothing that was in the first; other weights, all."""
    examples = make(5, 7, 9)
    refresh(ImageEmbeddings(tmp_path), examples, FakeTask())
    names = ["image_embeddings.bin", "image_embeddings.json"]
    assert in_folder(tmp_path) == names
    again, task = ImageEmbeddings(str(tmp_path)), FakeTask()
    assert refresh(again, make(9, 5, 6), task) == [6]
    assert found(again, make(9, 5, 6)) == [9, 5, 6]
    other = FakeTask(key="other weights")
    assert refresh(ImageEmbeddings(tmp_path), examples, other) == [5, 7, 9]


def flip_a_bit(folder):
    path = folder / "image_embeddings.bin"
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)


def turn_the_rows(folder):
    """The same bytes, said to be 3 rows of 2 numbers."""
    path = folder / "image_embeddings.json"
    text = path.read_text("utf-8")
    assert "[2, 2, 3]" in text
    path.write_text(text.replace("[2, 2, 3]", "[2, 3, 2]"), "utf-8")


def cut(name):
    def damage(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-5])

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        turn_the_rows,
        cut("image_embeddings.bin"),
        cut("image_embeddings.json"),
    ],
)
@pytest.mark.parametrize("same_run", [True, False])
def test_a_damaged_file_is_never_read(tmp_path, damage, same_run):
    """It is told of, and all is computed anew."""
    examples, task = make(5, 7), FakeTask()
    embeddings = ImageEmbeddings(tmp_path)
    refresh(embeddings, examples, task)
    damage(tmp_path)
    if not same_run:
        embeddings = ImageEmbeddings(tmp_path)
    with pytest.warns(UserWarning, match="`image_cache`.*damaged"):
        assert refresh(embeddings, examples, task) == [5, 7]
    assert found(embeddings, examples) == [5, 7]
    assert refresh(embeddings, examples, task) == []


def test_an_interrupted_run_leaves_the_older_file(tmp_path):
    """Files appear whole, or not at all."""
    examples = make(5, 7)
    refresh(ImageEmbeddings(tmp_path), examples, FakeTask())
    names, broken = in_folder(tmp_path), FakeTask()
    encode = broken.encode_images

    def fail_at_the_second(vision, images):
        if broken.encoded:
            raise RuntimeError
        return encode(vision, images)

    broken.encode_images = fail_at_the_second
    with pytest.raises(RuntimeError):
        refresh(ImageEmbeddings(tmp_path), make(1, 2, 3, 4), broken)
    assert in_folder(tmp_path) == names
    assert refresh(ImageEmbeddings(tmp_path), examples, FakeTask()) == []


@pytest.mark.parametrize("in_file", [True, False])
def test_half_precision_stays_half(tmp_path, in_file):
    """Two bytes for a number, in memory and in the file."""
    dtype = np.dtype(ml_dtypes.bfloat16)
    task, examples = FakeTask(dtype=dtype), make(5, 7)
    embeddings = ImageEmbeddings(tmp_path if in_file else None)
    refresh(embeddings, examples, task)
    assert embeddings._stored.array.nbytes == 2 * 2 * 3 * 2
    if in_file:
        embeddings = ImageEmbeddings(tmp_path)
        refresh(embeddings, examples, task)
    assert embeddings[[0, 1]].values.dtype == dtype
    assert found(embeddings, examples) == [5, 7]


# With a model


def decoder_adapted(make_vlm, **kwargs):
    vlm = make_vlm(**kwargs)
    vlm.backbone.enable_lora(4, target_layer_names=DECODER)
    return vlm


class Keys(keras.callbacks.Callback):
    """Notes what a batch brings at the beginning of each epoch."""

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
    """Fits; whether batches brought embeddings, epoch by epoch."""
    model = BYORnModel(vlm, reference=reference)
    model.compile(optimizer=keras.optimizers.SGD(0.1, use_ema=True))
    keys = Keys(batches)
    model.fit(batches, epochs=epochs, verbose=0, callbacks=[keys, *callbacks])
    for own in keys.keys:
        assert ("images" in own) != ("image_embeddings" in own)
    return keys.embedded


@pytest.fixture
def watch(monkeypatch):
    """A function after which a task's tower is called to encode, or fails.

    It returns a list that will hold the images that the tower is shown.
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
    """In a defended run: scoring, training, second look, regenerating."""
    vlm = decoder_adapted(make_vlm)
    examples = make_examples(6)
    examples[5]["images"] = examples[0]["images"].copy()
    batches = make_batches(vlm, examples, batch_size=5)
    # Whom the second look restores nobody regenerates.
    defence = BYORnCallback(FlagFraction(0.4), teacher="none", verbose=0)
    regenerate = Regenerator(batches, "greedy", batch_size=5, seed=0)
    regeneration = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: regenerate([0, 5], verbose=0)
    )
    shown, callbacks = watch(vlm), [defence, regeneration]
    assert fit(vlm, batches, epochs=2, callbacks=callbacks) == [True] * 2
    assert len(shown) == 5
    assert set(shown) == {e["images"].tobytes() for e in examples}


def test_outside_of_fit_batches_bring_images(make_vlm, make_batches):
    """Whoever holds them then may show them to another model."""
    vlm = decoder_adapted(make_vlm)
    batches = make_batches(vlm)
    assert fit(vlm, batches) == [True]
    for x in (batches[0][0], batches.originals()[0][0]):
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
    """Nothing, then one image, then the tower's weights."""
    vlm = decoder_adapted(make_vlm)
    batches, shown = make_batches(vlm, batch_size=1), watch(vlm)
    fit(vlm, batches)
    assert len(shown) == 6
    fit(vlm, batches)
    assert len(shown) == 6
    batches.examples[2]["images"][0, 0, 0] ^= 255
    fit(vlm, batches)
    assert len(shown) == 7
    before = batches._image_embeddings[[0]].values
    variable = vlm.backbone.vit_encoder.weights[0]
    variable.assign(variable + 1.0)
    fit(vlm, batches)
    assert len(shown) == 7 + 6
    assert np.abs(batches._image_embeddings[[0]].values - before).max() > 0.1


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
def test_a_reference_of_other_eyes_is_shown_images(
    make_vlm, make_batches, seed, same
):
    """Embeddings of the student's tower mean nothing to another decoder."""
    vlm = decoder_adapted(make_vlm, seed=0)
    reference = FrozenReference(make_vlm(seed=seed))
    batches = make_batches(vlm)
    assert fit(vlm, batches, reference) == [same]
    expected = reference.log_likelihoods(batches.originals(), verbose=0)
    with batches.images_encoded(batches.task.frozen_vision()):
        found = reference.log_likelihoods(batches.originals(), verbose=0)
    close = np.allclose(found, expected, atol=1e-5)
    assert close == same


def test_views_of_pixels_are_shown_pixels(make_vlm, make_batches):
    """The others are shown embeddings, a shuffled one those of another."""
    batches = make_batches(decoder_adapted(make_vlm), batch_size=6)
    plain = batches.originals(view=Blur())[0][0]["images"]
    with batches.images_encoded(batches.task.frozen_vision()):
        own = batches.originals()[0][0]["image_embeddings"]
        for view in (Blur(), BlankImage()):
            x, _, _ = batches.originals(view=view)[0]
            assert "image_embeddings" not in x, view
            if isinstance(view, Blur):
                np.testing.assert_array_equal(x["images"], plain)
        x, _, _ = batches.originals(view=NoPrompt())[0]
        np.testing.assert_array_equal(x["image_embeddings"], own)
        view = ShuffledImage()
        x, _, _ = batches.originals(view=view)[0]
        expected = own[view.positions(np.arange(6), 6)]
        np.testing.assert_array_equal(x["image_embeddings"], expected)


def test_the_cache_can_be_off_or_in_a_folder(make_vlm, make_batches, tmp_path):
    """`None` is images; a folder is there after the run."""
    vlm = decoder_adapted(make_vlm)
    assert fit(vlm, make_batches(vlm, image_cache=None)) == [False]
    folder = tmp_path / "new"
    assert fit(vlm, make_batches(vlm, image_cache=folder)) == [True]
    assert len(in_folder(folder)) == 2
    with pytest.raises(ValueError, match="`image_cache` must be.*Received: im"):
        make_batches(vlm, image_cache=3)


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
    values = batches._image_embeddings[[0]].values
    assert values.dtype == np.dtype(ml_dtypes.bfloat16)
