"""Rows by position, whatever the labels say; streams are refused."""

import numpy as np
import pytest

from keras_byorn.data.readers.rows import NumberedIds, Rows, positional


def test_columns_are_read_by_position():
    """A column with labels, as pandas has, is not read by them."""

    class ByLabel:
        iloc = ["a", "b"]

        def __len__(self):
            return 2

        def __getitem__(self, label):
            raise AssertionError("read by label")

    rows = positional({"text": ByLabel(), "number": np.arange(2)})
    assert rows[1] == {"text": "b", "number": 1} and len(rows) == 2


def test_other_sources_stay_as_they_are():
    """A list is read as it was before."""
    source = [{"text": "a"}]
    assert positional(source) is source


@pytest.mark.parametrize(
    "source, message",
    [
        (iter([{}]), "list_iterator"),
        ({"a": [1], "b": [1, 2]}, "one length.*'b': 2"),
        (b"captions.csv", "A path is read by"),
        (7, "a int"),
    ],
)
def test_what_is_no_table_is_refused(source, message):
    """The error says what to do."""
    with pytest.raises(ValueError, match=message):
        positional(source)


def test_splits_are_refused_by_name():
    """Any dict of what has rows of its own, as `DatasetDict` is."""

    class Split:
        num_rows = 3

    with pytest.raises(ValueError, match="the splits 'train', 'dev'"):
        positional({"train": Split(), "dev": Split()})


def test_numbered_ids_and_places():
    """A million ids take no memory; places are as a person counts them."""
    rows = Rows([{}] * 3, NumberedIds("train", 3), "you/data")
    assert list(rows.ids) == ["train/0", "train/1", "train/2"]
    assert rows.ids[-1] == "train/2" and len(rows) == 3
    assert rows.place(2) == "row 2 of you/data"
