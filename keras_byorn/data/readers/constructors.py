"""Constructors of examples from data as people have them."""

import pathlib

from keras_byorn.data.readers import sources
from keras_byorn.data.readers.csv_table import read_csv
from keras_byorn.data.readers.json_table import read_json
from keras_byorn.data.readers.options import read_options
from keras_byorn.data.readers.row_reader import RowReader


class Constructors:
    """Base class of `Examples`: reads tables, folders, frames, data sets.

    All constructors return examples whose images are uint8, `(H, W, 3)`, in
    the size that `vlm` reads, and whose prompts and responses are strings.
    Images are decoded when an example is asked for, and not kept. Attribute
    `dropped` is a tuple of `BadRow`, rows left out by `on_bad="drop"`.
    """

    @classmethod
    def from_jsonl(cls, path, vlm=None, *, encoding="utf-8", **options):
        """Reads a file of JSON objects: a line each, or one list.

        Args:
            path: string or path, of a `.jsonl` file; of a `.json` file that is
                a list, as LLaVA's; or of COCO's annotations of captions.
            vlm: optional KerasHub task that the examples are for. Gives the
                size of images and the form of prompts. Defaults to `None`:
                images as they are, and `prompt=` is needed for captions.
            encoding: string. Defaults to `"utf-8"`, with or without a byte
                order mark.
            **options: see `ReadOptions` in `data/readers/options.py`.

        Returns:
            An `Examples` with ids such as `"captions/0"`.

        Raises:
            BadRowsError: If rows cannot be read; it lists all of them, with
                their lines. A `ValueError`.
            ValueError: If the file, its fields or an option is not right.

        Example:

        >>> keras_byorn.Examples.from_jsonl("pictures/captions.jsonl", vlm)
        <Examples: 795 examples from pictures/captions.jsonl; image -> images,
        caption -> responses>
        """
        rows = read_json(path, encoding)
        return _examples(cls, rows, vlm, options, pathlib.Path(path).parent)

    @classmethod
    def from_csv(
        cls, path, vlm=None, *, encoding="utf-8", delimiter=None, **options
    ):
        """Reads a table of cells: `.csv`, `.tsv`, or Flickr8k's `.txt`.

        Args:
            path: string or path.
            vlm: optional KerasHub task, see `from_jsonl`.
            encoding: string, see `from_jsonl`.
            delimiter: optional string. Defaults to a comma, a semicolon, a tab
                or a bar, told by the header.
            **options: see `ReadOptions` in `data/readers/options.py`.

        Returns:
            An `Examples` with ids such as `"captions/0"`.

        Raises:
            BadRowsError: If rows cannot be read, those among them that have
                more or fewer cells than the header; with their lines.
            ValueError: If the file, its fields or an option is not right.

        Example:

        >>> examples = keras_byorn.Examples.from_csv(
        ...     "flickr8k/captions.txt", prompt="describe the image\\n"
        ... )
        """
        rows = read_csv(path, encoding, delimiter)
        return _examples(cls, rows, vlm, options, pathlib.Path(path).parent)

    @classmethod
    def from_folder(cls, folder, vlm=None, *, encoding="utf-8", **options):
        """Reads a folder of images by the table in it.

        Args:
            folder: string or path. Has a `metadata.jsonl` or `metadata.csv`
                with `file_name`, or else one other table.
            vlm: optional KerasHub task, see `from_jsonl`.
            encoding: string, see `from_jsonl`.
            **options: see `ReadOptions` in `data/readers/options.py`.

        Returns:
            An `Examples` with ids such as `"metadata/0"`.

        Raises:
            BadRowsError: If rows cannot be read.
            ValueError: If the folder has no table, or several.

        Example:

        >>> examples = keras_byorn.Examples.from_folder("pictures", vlm)
        """
        table = sources.folder_table(folder)
        rows = sources.read_table(table, encoding)
        return _examples(cls, rows, vlm, options, folder)

    @classmethod
    def from_dataframe(cls, frame, vlm=None, **options):
        """Reads a data frame by position, whatever its index.

        Args:
            frame: a data frame of pandas or Polars, an Arrow table, or a dict
                of columns. Images are in any form: arrays, Pillow images,
                bytes, dicts of bytes, or names of files in `image_folder`.
            vlm: optional KerasHub task, see `from_jsonl`.
            **options: see `ReadOptions` in `data/readers/options.py`.

        Returns:
            An `Examples`. Ids are the labels of a pandas frame, if they are
            unique, else the numbers of rows.

        Raises:
            BadRowsError: If rows cannot be read.
            ValueError: If a column or an option is not right.

        Example:

        >>> examples = keras_byorn.Examples.from_dataframe(
        ...     pandas.read_parquet("captions.parquet"), vlm
        ... )
        """
        return _examples(cls, sources.frame_rows(frame), vlm, options)

    @classmethod
    def from_hub(
        cls,
        source,
        vlm=None,
        *,
        split=None,
        config=None,
        revision=None,
        **options,
    ):
        """Reads a Hugging Face data set, in any format.

        Args:
            source: a `datasets.Dataset`; or string, the name of one, which is
                downloaded by `datasets.load_dataset`.
            vlm: optional KerasHub task, see `from_jsonl`.
            split: optional string. Needed where there are several.
            config: optional string. The configuration to load.
            revision: optional string. The revision to load.
            **options: see `ReadOptions` in `data/readers/options.py`.

        Returns:
            An `Examples` with ids such as `"you/captions/train/0"`.

        Raises:
            BadRowsError: If rows cannot be read.
            ValueError: If no split is named, the data set is a stream, or a
                field or an option is not right.

        Example:

        >>> examples = keras_byorn.Examples.from_hub(
        ...     "you/captions", vlm, split="train"
        ... )
        """
        rows = sources.hub_rows(source, split, config, revision)
        return _examples(cls, rows, vlm, options)

    @classmethod
    def from_tfds(
        cls, source, vlm=None, *, split="train", data_dir=None, **options
    ):
        """Reads a TFDS data set.

        Args:
            source: a TFDS data source; or string, the name of a data set,
                which is downloaded unless it is there.
            vlm: optional KerasHub task, see `from_jsonl`.
            split: string. Defaults to `"train"`.
            data_dir: optional path. The place where TFDS keeps its data.
            **options: see `ReadOptions` in `data/readers/options.py`.

        Returns:
            An `Examples` with ids such as `"coco_captions/train/0"`.

        Raises:
            BadRowsError: If rows cannot be read.
            ValueError: If a field or an option is not right.

        Example:

        >>> examples = keras_byorn.Examples.from_tfds("coco_captions", vlm)
        """
        rows = sources.tfds_rows(source, split, data_dir)
        return _examples(cls, rows, vlm, options)


def _examples(cls, rows, vlm, options, folder=None):
    reader = RowReader(rows, vlm, read_options(options), folder)
    return cls(reader, example_ids=reader.example_ids)
