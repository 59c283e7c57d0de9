"""Data frames, Arrow, Hugging Face data sets, TFDS, and streams."""

import numpy as np
import pytest

import keras_byorn
from reader_cases.case import (
    BLUE,
    GREEN,
    PROMPT,
    RED,
    assert_pairs,
    of_frame,
    picture,
    read,
    refused,
)

SECTION = "Libraries"
COLORS = {f"color {n}": (n, 255 - n, 10 * (n % 20)) for n in range(0, 240, 10)}
PAIRS = [(color, text) for text, color in COLORS.items()]


def shuffled_frame():
    """24 rows in another order than their index says."""
    pandas = pytest.importorskip("pandas")
    images = [picture(color) for color in COLORS.values()]
    frame = pandas.DataFrame({"image": images, "caption": list(COLORS)})
    return frame.sample(frac=1, random_state=0)


@read(SECTION, "pandas, shuffled", "by position, ids by label")
def pandas_shuffled(folder):
    frame = shuffled_frame()
    order = frame.index.tolist()
    assert order != sorted(order)
    examples = of_frame(frame)
    assert_pairs(examples, [PAIRS[n] for n in order])
    assert examples.example_ids == [str(n) for n in order]


@read(SECTION, "a dict of a shuffled column and an array", "by position")
def pandas_columns(folder):
    frame = shuffled_frame()
    images = np.stack([np.asarray(image) for image in frame["image"]])
    columns = {
        "images": images,
        "prompts": [PROMPT] * 24,
        "responses": frame["caption"],
    }
    ids = [str(n) for n in range(24)]
    examples = keras_byorn.Examples(columns, example_ids=ids)
    assert_pairs(examples, [PAIRS[n] for n in frame.index])


@read(SECTION, "pandas, with an index of repeated labels", "ids by position")
def pandas_repeated(folder):
    frame = shuffled_frame().iloc[:3]
    order = frame.index.tolist()
    frame.index = ["a", "a", "b"]
    examples = of_frame(frame)
    assert_pairs(examples, [PAIRS[n] for n in order])
    assert examples.example_ids == ["0", "1", "2"]


@read(SECTION, "pandas, whole numbers that became floats", "as numbers")
def pandas_numbers(folder):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"image": [picture()] * 2, "caption": [7, None]}
    ).astype({"caption": "float64"})
    with pytest.warns(UserWarning, match="Dropped 1 of 2"):
        examples = of_frame(frame, on_bad="drop")
    assert_pairs(examples, [(RED, "7")])
    assert examples.dropped[0].place == "row 1 of a DataFrame"


@refused(SECTION, "pandas, `NA` in a caption", "there is no text")
def pandas_missing(folder):
    pandas = pytest.importorskip("pandas")
    texts = pandas.array(["red", None], dtype="string")
    frame = pandas.DataFrame({"image": [picture()] * 2, "caption": texts})
    of_frame(frame)


@refused(SECTION, "pandas, two columns of one name", "names of their own")
def pandas_repeated_columns(folder):
    frame = shuffled_frame()
    frame.columns = ["image", "image"]
    of_frame(frame)


@read(SECTION, "Arrow table, in chunks", "row by row")
def arrow(folder):
    pa = pytest.importorskip("pyarrow")
    colors = {"red": RED, "green": GREEN, "blue": BLUE}
    table = pa.concat_tables(
        pa.table({"image": [png(c)], "caption": [text]})
        for text, c in colors.items()
    )
    pairs = [(color, text) for text, color in colors.items()]
    assert_pairs(of_frame(table), pairs)
    columns = {name: table[name] for name in table.column_names}
    assert_pairs(of_frame(columns), pairs)


def png(color):
    import io

    file = io.BytesIO()
    picture(color).save(file, "PNG")
    return file.getvalue()


def hub_dataset():
    """A Hugging Face data set that decodes its images."""
    datasets = pytest.importorskip("datasets")
    data = {
        "image": [{"bytes": png(c), "path": None} for c in (RED, GREEN, BLUE)],
        "caption": ["red", "green", "blue"],
    }
    features = datasets.Features(
        {"image": datasets.Image(), "caption": datasets.Value("string")}
    )
    return datasets.Dataset.from_dict(data, features=features)


HUB_PAIRS = [(RED, "red"), (GREEN, "green"), (BLUE, "blue")]


def from_hub(source, **options):
    return keras_byorn.Examples.from_hub(source, prompt=PROMPT, **options)


@read(SECTION, "Hugging Face data set", "read")
def hub(folder):
    examples = from_hub(hub_dataset(), split="train")
    assert_pairs(examples, HUB_PAIRS)
    assert examples.example_ids[1].endswith("train/1")


@read(SECTION, "the same, in the format numpy, torch, tensorflow, jax", "read")
def hub_formats(folder):
    import importlib.util

    for name in ("numpy", "torch", "tensorflow", "jax", "arrow", "pandas"):
        if importlib.util.find_spec(name.replace("arrow", "pyarrow")):
            dataset = hub_dataset().with_format(name)
            assert_pairs(from_hub(dataset), HUB_PAIRS)


@read(SECTION, "the same, filtered and shuffled", "in its order")
def hub_shuffled(folder):
    dataset = hub_dataset().select([2, 0])
    assert_pairs(from_hub(dataset), [HUB_PAIRS[2], HUB_PAIRS[0]])


@read(SECTION, "the same, with `Image(decode=False)`", "decoded here")
def hub_undecoded(folder):
    datasets = pytest.importorskip("datasets")
    dataset = hub_dataset().cast_column("image", datasets.Image(decode=False))
    assert_pairs(from_hub(dataset), HUB_PAIRS)


@read(SECTION, "the same, with a transform of one's own", "transformed")
def hub_transform(folder):
    def shout(batch):
        return {**batch, "caption": [t.upper() for t in batch["caption"]]}

    dataset = hub_dataset().with_transform(shout)
    pairs = [(color, text.upper()) for color, text in HUB_PAIRS]
    assert_pairs(from_hub(dataset), pairs)


@refused(
    SECTION,
    "`datasets.DatasetDict` without a split",
    "the splits 'train', 'test'",
)
def hub_splits(folder):
    datasets = pytest.importorskip("datasets")
    dataset = hub_dataset()
    from_hub(datasets.DatasetDict({"train": dataset, "test": dataset}))


@read(SECTION, "`datasets.DatasetDict` with `split=`", "that split")
def hub_split(folder):
    datasets = pytest.importorskip("datasets")
    splits = {"train": hub_dataset(), "test": hub_dataset().select([1])}
    examples = from_hub(datasets.DatasetDict(splits), split="test")
    assert_pairs(examples, HUB_PAIRS[1:2])


@refused(SECTION, "`datasets.IterableDataset`", "without `streaming=True`")
def hub_stream(folder):
    from_hub(hub_dataset().to_iterable_dataset())


@refused(SECTION, "Hugging Face, a picture that is broken", "no image in")
def hub_broken(folder):
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": b"<html>", "path": None}],
            "caption": ["red"],
        }
    )
    from_hub(dataset)


@read(SECTION, "TFDS data source", "texts in bytes are decoded")
def tfds(folder):
    examples = keras_byorn.Examples.from_tfds(TfdsSource(), prompt=PROMPT)
    assert_pairs(examples, [(RED, "café"), (BLUE, "blue")])
    assert examples.example_ids == ["tiny/train/0", "tiny/train/1"]


class TfdsSource:
    """Rows as `tfds.data_source` hands them over."""

    dataset_info = type("Info", (), {"name": "tiny"})
    split = "train"

    def __len__(self):
        return 2

    def __getitem__(self, index):
        color, text = ((RED, "café"), (BLUE, "blue"))[index]
        return {
            "image": np.asarray(picture(color)),
            "captions": {"text": [text.encode(), b"another"]},
        }


@refused(SECTION, "`tf.data.Dataset`", "Read the data set with")
def tensorflow_dataset(folder):
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices({"caption": ["a"]})
    keras_byorn.Examples.from_tfds(dataset, prompt=PROMPT)


@refused(SECTION, "a generator", "Make a list of it")
def generator(folder):
    keras_byorn.Examples(row for row in [{}])


@refused(SECTION, "`torch.utils.data.DataLoader`", "`loader.dataset`")
def data_loader(folder):
    torch = pytest.importorskip("torch")
    keras_byorn.Examples(torch.utils.data.DataLoader([{}]))


@refused(SECTION, "a path, to `Examples` itself", "A path is read by")
def a_path(folder):
    keras_byorn.Examples("captions.jsonl")


@refused(SECTION, "a source that raises for one row", "example '1'")
def raising(folder):
    class Source(list):
        def __getitem__(self, index):
            if index == 1:
                raise OSError("the disk is gone")
            return {"prompts": "p", "responses": "r"}

    examples = keras_byorn.Examples(Source([0, 0]), example_ids=["0", "1"])
    assert examples[0]["responses"] == "r"
    examples[1]
