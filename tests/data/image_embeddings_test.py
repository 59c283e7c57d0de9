"""Embeddings of images: computed once, found again, and never stale."""

import gc
import pathlib

import ml_dtypes
import numpy as np
import pytest

from keras_byorn.data import image_embeddings
from keras_byorn.data.examples import Examples
from keras_byorn.data.image_embeddings import ImageEmbeddings
from keras_byorn.data.validation import image_digests

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

    def vision_identity(self, vision):
        yield self.key

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
    digests = [image_digests(example) for example in examples]
    read = examples.__getitem__
    assert embeddings.refresh(read, digests, task, None, BATCH_SIZE)
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
    read = make([], []).__getitem__
    assert not embeddings.refresh(read, [(), ()], task, None, BATCH_SIZE)


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
    """Equal bytes may be other pixels."""
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
    """Equal bytes, said to be 3 rows of 2 numbers."""
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
