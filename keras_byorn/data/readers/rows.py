"""Rows by position, of whatever holds a table."""

import dataclasses

import numpy as np

STREAM = (
    "`source` must have a length and read rows by position, for each example "
    "is looked at more than once. {remedy} Received: {kind}"
)
REMEDIES = {
    "generator": "Make a list of it: `list(rows)`.",
    "IterableDataset": "Load it without `streaming=True`, or take a part: "
    "`list(dataset.take(1000))`.",
    "DataLoader": "Pass its data set, `loader.dataset`.",
    "tf.data": "Read the data set with `tfds.data_source`, or make a list: "
    "`list(dataset.as_numpy_iterator())`.",
    "": "Make a list of it: `list(source)`.",
}


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of a data set, each with its id and its place.

    Attributes:
        source: anything with a length and integer indexing, of dicts.
        ids: sequence of strings, one for each row.
        name: string. The data set, for messages and for `repr`.
        places: optional sequence of strings, such as `"line 4 of a.csv"`.
            Defaults to the number of the row.
    """

    source: object
    ids: object
    name: str
    places: object = None

    def __len__(self):
        return len(self.source)

    def place(self, index):
        """Returns the place of a row, for a message."""
        if self.places is not None:
            return self.places[index]
        return f"row {index} of {self.name}"


@dataclasses.dataclass(frozen=True)
class NumberedIds:
    """Ids that are a name and the number of the row, such as `"train/0"`."""

    name: str
    length: int

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return f"{self.name}/{range(self.length)[index]}"


def positional(source):
    """Returns a source that reads rows by position.

    Args:
        source: a dict of columns, a data frame of pandas or Polars, an Arrow
            table, a Hugging Face data set in any format, or anything else with
            a length and integer indexing.

    Returns:
        An object with a length and integer indexing, of dicts.

    Raises:
        ValueError: If it is a stream, or if it is several splits.

    Example:

    >>> positional({"caption": ["a cat", "a dog"]})[1]
    {'caption': 'a dog'}
    """
    if isinstance(source, dict):
        _refuse_splits(source)
        return Columns(source)
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return Columns(_columns_of_frame(source))
    if hasattr(source, "to_pylist") and hasattr(source, "slice"):
        return ArrowRows(source)
    if hasattr(source, "row") and hasattr(source, "get_columns"):
        return PolarsRows(source)
    if hasattr(source, "with_format") and hasattr(source, "features"):
        _refuse_stream(source)
        return _plain(source)
    _refuse_stream(source)
    return source


class Columns:
    """Reads a dict of columns by row, each by position.

    A column of pandas is read by position as well, whatever its index: by
    label, the rows of a shuffled frame would be paired wrongly.
    """

    def __init__(self, columns):
        lengths = {key: len(column) for key, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                "`source`, a dict, must hold columns of one length. "
                f"Received lengths: {lengths}"
            )
        self._columns = {
            key: getattr(column, "iloc", column)
            for key, column in columns.items()
        }
        self._length = next(iter(lengths.values()), 0)

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        return {
            key: _of_arrow(column[index])
            for key, column in self._columns.items()
        }


class ArrowRows:
    """Reads rows of an Arrow table, one at a time."""

    def __init__(self, table):
        _refuse_repeated(table.schema.names)
        self._table = table

    def __len__(self):
        return self._table.num_rows

    def __getitem__(self, index):
        return self._table.slice(index, 1).to_pylist()[0]


class PolarsRows:
    """Reads rows of a Polars data frame, as values of Python."""

    def __init__(self, frame):
        self._frame = frame

    def __len__(self):
        return len(self._frame)

    def __getitem__(self, index):
        return self._frame.row(index, named=True)


def _of_arrow(value):
    """Takes a value out of an Arrow scalar."""
    return value.as_py() if hasattr(value, "as_py") else value


def _columns_of_frame(frame):
    names = [str(name) for name in frame.columns]
    _refuse_repeated(names)
    return {name: frame.iloc[:, n] for n, name in enumerate(names)}


def _refuse_repeated(names):
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            "the columns of a table must have names of their own. "
            f"Received repeatedly: {repeated}"
        )


def _plain(dataset):
    """Returns a Hugging Face data set that gives rows of Python's own types.

    Its formats change what a row is: with `"torch"`, images have channels
    first. A transform of one's own is left as it is.
    """
    kind = (getattr(dataset, "format", None) or {}).get("type")
    return dataset if kind == "custom" else dataset.with_format(None)


def _refuse_splits(source):
    splits = [
        f"{name!r}"
        for name, value in source.items()
        if hasattr(value, "column_names") or hasattr(value, "num_rows")
    ]
    if splits and len(splits) == len(source):
        raise ValueError(
            "`source` must be one split of the data set. Pass "
            f"`source[{splits[0]}]`, or `split={splits[0]}` to `from_hub`. "
            f"Received: a {type(source).__name__} with the splits "
            f"{', '.join(splits)}"
        )


def _refuse_stream(source):
    kind = type(source).__name__
    module = type(source).__module__
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        if not isinstance(source, (str, bytes, np.generic)):
            return
    remedy = REMEDIES.get(kind, REMEDIES[""])
    if isinstance(source, (str, bytes)):
        remedy = (
            "A path is read by `Examples.from_jsonl`, `from_csv` or "
            "`from_folder`."
        )
    elif module.startswith("tensorflow"):
        remedy = REMEDIES["tf.data"]
    raise ValueError(STREAM.format(remedy=remedy, kind=f"a {kind}"))
