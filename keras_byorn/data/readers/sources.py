"""Rows of files, folders, frames and data sets of other libraries."""

import pathlib

from keras_byorn.data.readers.csv_table import read_csv
from keras_byorn.data.readers.json_table import read_json
from keras_byorn.data.readers.rows import NumberedIds, Rows, positional

METADATA = ("metadata.jsonl", "metadata.csv")  # of a Hugging Face folder
JSON_SUFFIXES = (".jsonl", ".json")
CELL_SUFFIXES = (".csv", ".tsv", ".txt")


def folder_table(folder):
    """Finds the table of a folder of images.

    Args:
        folder: string or path.

    Returns:
        The path of `metadata.jsonl` or `metadata.csv`, or else of the only
        table in the folder.

    Raises:
        ValueError: If there is none, or if there are several.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(
            "`folder` must be a folder of images with a table in it. For the "
            "table itself take `from_jsonl` or `from_csv`. "
            f"Received: {folder}"
        )
    tables = [folder / name for name in METADATA if (folder / name).is_file()]
    if not tables:
        suffixes = (*JSON_SUFFIXES, *CELL_SUFFIXES)
        tables = sorted(p for p in folder.iterdir() if p.suffix in suffixes)
    if len(tables) == 1:
        return tables[0]
    deeper = sorted(
        str(p.parent) for name in METADATA for p in folder.glob(f"*/{name}")
    )
    found = [p.name for p in tables] or deeper or "none"
    raise ValueError(
        "`folder` must have one table in it, metadata.jsonl, metadata.csv or "
        "another .jsonl, .json, .csv, .tsv or .txt. Name it with `from_jsonl` "
        f"or `from_csv` and `image_folder=`. Received: {folder} with {found}"
    )


def read_table(path, encoding="utf-8", delimiter=None):
    """Reads a table by the ending of its name.

    Args:
        path: string or path.
        encoding: string.
        delimiter: optional string, see `read_csv`.

    Returns:
        A `Rows`.
    """
    if pathlib.Path(path).suffix.lower() in JSON_SUFFIXES:
        return read_json(path, encoding)
    return read_csv(path, encoding, delimiter)


def frame_rows(frame):
    """Makes `Rows` of a data frame, each known by its label.

    Args:
        frame: a data frame of pandas or Polars, an Arrow table, or a dict of
            columns.

    Returns:
        A `Rows`. Ids are the labels of a pandas frame, if they are unique, so
        that they stay with their rows when it is shuffled; else the numbers of
        rows.
    """
    source = positional(frame)
    ids = [str(number) for number in range(len(source))]
    index = getattr(frame, "index", None)
    if hasattr(frame, "iloc") and index.is_unique:
        ids = [str(label) for label in index]
    kind = type(frame).__name__
    return Rows(source, ids, f"a {kind}")


def hub_rows(source, split=None, config=None, revision=None):
    """Makes `Rows` of a Hugging Face data set.

    Args:
        source: string, the name of a data set or a local folder; or a
            `datasets.Dataset`.
        split, config, revision: optional strings, for `load_dataset`.

    Returns:
        A `Rows`.

    Raises:
        ValueError: If it has several splits and none is named, or if it is a
            stream.
    """
    if isinstance(source, str):
        import datasets

        name = source
        source = datasets.load_dataset(
            source, config, split=split, revision=revision
        )
    else:
        info = getattr(source, "info", None)
        name = getattr(info, "dataset_name", None) or "hub"
        if split is not None and isinstance(source, dict):
            source = _split_of(source, split)
    split = split or getattr(source, "split", None)
    name = f"{name}/{split}" if split else name
    source = positional(source)
    return Rows(source, NumberedIds(name, len(source)), name)


def tfds_rows(source, split="train", data_dir=None):
    """Makes `Rows` of a TFDS data set.

    Args:
        source: string, the name of a data set, which is downloaded unless it
            is there in some format; or a data source of TFDS.
        split: string.
        data_dir: optional path. The place where TFDS keeps its data.

    Returns:
        A `Rows`.
    """
    if isinstance(source, str):
        import tensorflow_datasets as tfds

        name = f"{source}/{split}"
        builder = tfds.builder(source, data_dir=data_dir)
        # A data set that is there already, in any format, is not made again.
        builder.download_and_prepare(file_format="array_record")
        source = builder.as_data_source(split)
    else:
        info = getattr(source, "dataset_info", None)
        name = getattr(info, "name", None) or "tfds"
        name = f"{name}/{getattr(source, 'split', None) or split}"
    source = positional(source)
    return Rows(source, NumberedIds(name, len(source)), name)


def _split_of(splits, split):
    if split not in splits:
        raise ValueError(
            "`split` must be a split of the data set. "
            f"Received: {split!r} for {sorted(splits)}"
        )
    return splits[split]
