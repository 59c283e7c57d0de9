"""Digit Scenes on disk: complete and reproducible."""

import collections
import socket

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import file_adapters

from keras_byorn.data import digit_scenes
from keras_byorn.data.digit_scenes import DigitScenes, DigitScenesConfig
from keras_byorn.data.examples import Examples

NUM_TRAIN, NUM_TEST = 250, 120


def make_config(**kwargs):
    return DigitScenesConfig(
        name="few",
        tasks={"captions": 1.0},
        **{"num_train": NUM_TRAIN, "num_test": NUM_TEST, **kwargs},
    )


def offline(monkeypatch):
    """Makes every connection fail, as on a machine without network."""

    def refuse(*args, **kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A folder with a small build, made offline."""
    folder = tmp_path_factory.mktemp("digit_scenes")
    with pytest.MonkeyPatch.context() as monkeypatch:
        offline(monkeypatch)
        builder = DigitScenes(config=make_config(), data_dir=str(folder))
        builder.download_and_prepare()
    return str(folder)


def source_of(data_dir, split, config=None):
    return tfds.data_source(
        "digit_scenes",
        data_dir=data_dir,
        split=split,
        builder_kwargs={"config": config or make_config()},
    )


def dataset_of(data_dir, split):
    return tfds.as_numpy(
        tfds.load(
            "digit_scenes",
            data_dir=data_dir,
            split=split,
            builder_kwargs={"config": make_config()},
        )
    )


def expected_ids(split, size):
    return [f"few-{split}-{index:06d}" for index in range(size)]


def by_id(rows):
    return {row["example_id"].decode(): row for row in rows}


def assert_same_rows(left, right):
    assert left["example_id"] == right["example_id"]
    assert left["prompts"] == right["prompts"]
    assert left["responses"] == right["responses"]
    np.testing.assert_array_equal(left["images"], right["images"])


@pytest.mark.parametrize("split, size", [("train", 250), ("test", 120)])
@pytest.mark.parametrize("read", [source_of, dataset_of])
def test_every_row_is_there(data_dir, read, split, size, monkeypatch):
    """TFDS's own Parquet writer loses most rows beyond the first hundred."""
    offline(monkeypatch)
    rows = list(read(data_dir, split))
    ids = sorted(row["example_id"].decode() for row in rows)
    assert ids == expected_ids(split, size)
    for row in rows:
        assert row["images"].shape == (32, 32, 3)
        assert row["images"].dtype == "uint8"


def test_load_and_data_source_agree(data_dir):
    """One set of files serves both ways of reading."""
    loaded = by_id(dataset_of(data_dir, "test"))
    for row in source_of(data_dir, "test"):
        assert_same_rows(row, loaded[row["example_id"].decode()])


def test_the_writer_of_tfds_is_as_it_was(data_dir):
    """Our mend of TFDS holds while our files are written, no longer."""
    parquet = file_adapters.FileFormat.PARQUET
    adapter = file_adapters.ADAPTER_FOR_FORMAT[parquet]
    assert adapter is file_adapters.ParquetFileAdapter


def test_two_builds_are_equal(data_dir, tmp_path):
    """An `example_id` means the same example tomorrow, and at any size."""
    first = by_id(source_of(data_dir, "train"))
    for size in (NUM_TRAIN, 30):
        config = make_config(num_train=size, num_test=10)
        folder = str(tmp_path / str(size))
        builder = DigitScenes(config=config, data_dir=folder)
        builder.download_and_prepare()
        again = list(source_of(folder, "train", config))
        assert len(again) == size
        for row in again:
            assert_same_rows(row, first[row["example_id"].decode()])


def test_another_seed_gives_other_scenes():
    """Pretraining and fine-tuning scenes must be able to differ."""
    rows = [generate(make_config(seed=seed), "train", 20) for seed in (0, 0, 1)]
    assert texts(rows[0]) == texts(rows[1]) != texts(rows[2])


def generate(config, split, size, folder="unused"):
    builder = DigitScenes(config=config, data_dir=folder)
    return [row for _, row in builder._generate_examples(split, size)]


def texts(rows):
    return [row["responses"] for row in rows]


def test_each_split_draws_with_its_own_handwriting(monkeypatch):
    """Blank samples for the test split leave test scenes blank, only them."""

    def handwriting(split):
        ink = float(split == "train")
        return {v: np.full((2, 8, 8), ink, "float32") for v in range(10)}

    monkeypatch.setattr(digit_scenes, "handwriting", handwriting)
    brightness = {}
    for split in ("train", "test"):
        files = [row["images"] for row in generate(make_config(), split, 10)]
        images = [np.asarray(PIL.Image.open(file)) for file in files]
        brightness[split] = [image.max() for image in images]
    assert min(brightness["train"]) > 150
    assert max(brightness["test"]) < 120


def test_a_config_mixes_grids_with_scenes():
    """Pretraining for long scenes may keep some of the short ones."""
    config = DigitScenesConfig(
        name="long_mix", tasks={"long_captions_8": 1, "captions": 1}
    )
    prompts = collections.Counter(
        row["prompts"] for row in generate(config, "train", 100)
    )
    assert set(prompts) == {"list the digits\n", "caption the image\n"}
    assert min(prompts.values()) > 30


def test_any_size_is_read_as_examples(tmp_path):
    """The short way that demo and guide take."""
    splits = digit_scenes.load_digit_scenes(
        "terse_captions", num_train=5, num_test=3, data_dir=str(tmp_path)
    )
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 5,
        "test": 3,
    }
    example = Examples(splits["test"])[0]
    assert type(example["responses"]) is str
    assert example["images"].shape == (32, 32, 3)


def test_a_config_mixes_tasks_by_share():
    """Any mixture is a config, and its shares are kept."""
    config = DigitScenesConfig(
        name="mix", tasks={"captions": 3, "terse_captions": 1}
    )
    rows = generate(config, "train", 300)
    share = np.mean([row["prompts"].startswith("caption") for row in rows])
    assert 0.67 < share < 0.83
    assert rows[0]["example_id"] == "mix-train-000000"


def test_an_unknown_task_is_refused():
    """The message lists the tasks that there are."""
    with pytest.raises(ValueError, match=r"terse_captions.*\['haiku'\]"):
        DigitScenesConfig(name="haiku")
