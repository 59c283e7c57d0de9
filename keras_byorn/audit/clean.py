"""The cleaned data set: the targets that the defence leaves."""

import io
import itertools
import json

import numpy as np
import PIL.Image

from keras_byorn.data.examples import Examples
from keras_byorn.data.files import replacing
from keras_byorn.data.shown import encodable, shortened
from keras_byorn.data.validation import example_digest

ROWS_A_GROUP = 256

# For Hugging Face `datasets`, which then returns images as pictures.
_HUGGING_FACE = {
    "info": {
        "features": {
            "example_id": {"dtype": "string", "_type": "Value"},
            "images": {"_type": "Image"},
            "prompts": {"dtype": "string", "_type": "Value"},
            "responses": {"dtype": "string", "_type": "Value"},
        }
    }
}


def schema():
    """Returns the `pyarrow.Schema` of the file."""
    import pyarrow as pa

    return pa.schema(
        [
            ("example_id", pa.string()),
            (
                "images",
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            ),
            ("prompts", pa.string()),
            ("responses", pa.string()),
        ],
        metadata={"huggingface": json.dumps(_HUGGING_FACE)},
    )


def clean_examples(table, examples):
    """Collects the examples that are left to train on.

    Args:
        table: `pyarrow.Table` from `build_table()`.
        examples: `Examples`, to read images, prompts and original responses
            from when they are asked for.

    Returns:
        `Examples` in the order of the table, without the excluded ones.

    Raises:
        ValueError: When an example is read that is not what was judged.

    Example:

    >>> clean = clean_examples(audit.table, examples)
    """
    names = ["example_id", "origin", "prompt", "original_response"]
    rows = table.select([*names, "current_response", "digest"]).to_pylist()
    kept = [row for row in rows if row["origin"] != "excluded"]
    ids = [row["example_id"] for row in kept]
    return Examples(_CleanRows(examples, kept), ids)


def write_parquet(examples, path):
    """Writes examples to a Parquet file, whole or not at all.

    Args:
        examples: `Examples`, read once, one after the other.
        path: string or path. An older file there is replaced.

    Raises:
        ValueError: If an image is not uint8.

    Example:

    >>> write_parquet(examples, "clean.parquet")
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = schema()
    rows = (
        {**example, "images": {"bytes": _png(example), "path": None}}
        for example in examples
    )
    with replacing(path) as temporary:
        with pq.ParquetWriter(temporary, types) as writer:
            while group := list(itertools.islice(rows, ROWS_A_GROUP)):
                writer.write_table(pa.Table.from_pylist(group, types))


def write_tfds(examples, name, data_dir):
    """Writes examples as a data set of TensorFlow Datasets.

    Args:
        examples: `Examples`, read once, one after the other.
        name: string. The name of the data set.
        data_dir: string or path. The folder of data sets to put it in.

    Returns:
        `tfds.core.DatasetBuilder` of the data set.

    Raises:
        ImportError: If tensorflow-datasets is not installed.
        RuntimeError: If there is a data set of this name already.
        ValueError: If an image is not uint8.

    Example:

    >>> write_tfds(examples, "clean_captions", "data")
    """
    try:
        import tensorflow_datasets as tfds

        from keras_byorn.data.tfds_parquet import every_parquet_row
    except ImportError as error:
        raise ImportError(
            "`Audit.write_clean_tfds()` needs tensorflow-datasets. Install it "
            "with `pip install keras-byorn[data]`. "
            "`Audit.write_clean_examples()` does without."
        ) from error
    text = tfds.features.Text()
    features = tfds.features.FeaturesDict(
        {
            "example_id": text,
            "images": tfds.features.Image(
                shape=(None, None, 3), encoding_format="png"
            ),
            "prompts": text,
            "responses": text,
        }
    )
    # As files, because TFDS needs TensorFlow to encode arrays.
    rows = (
        (index, {**example, "images": io.BytesIO(_png(example))})
        for index, example in enumerate(examples)
    )
    with every_parquet_row():
        return tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=features,
            split_datasets={"train": rows},
            data_dir=data_dir,
            description="Examples that keras_byorn left to train on.",
            file_format="parquet",
            disable_shuffling=True,
        )


class _CleanRows:
    """Reads some of the examples, some of them with another response."""

    def __init__(self, examples, rows):
        self._examples = examples
        self._rows = rows

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        row = self._rows[index]
        example = self._examples.by_id(row["example_id"])
        _check_unchanged(example, row)
        if row["origin"] == "original":
            return example
        return {**example, "responses": row["current_response"]}


def _check_unchanged(example, row):
    """Refuses an example that is not what was judged."""
    if row["digest"] is not None:
        is_same = example_digest(example) == row["digest"]
    else:
        texts = map(encodable, (example["prompts"], example["responses"]))
        is_same = tuple(texts) == (row["prompt"], row["original_response"])
    if not is_same:
        raise ValueError(
            "`examples` must be those that were judged, as they were: one "
            "that nobody judged would count as clean. Judge them again. "
            "Received: another text or image in example "
            f"{shortened(row['example_id'])}"
        )


def _png(example):
    """Encodes the image of an example without loss."""
    image = np.asarray(example["images"])
    if image.dtype != np.uint8:
        raise ValueError(
            "`images` must be uint8 to be written as PNG, because the range "
            "of other numbers is unknown. Audit uint8 images, or take "
            "`Audit.clean_examples()`, which leaves images as they are. "
            f"Received: dtype {image.dtype} in example "
            f"{shortened(example['example_id'])}"
        )
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
