"""Rows of token ids."""

import numpy as np
import pytest

from keras_byorn.vlm import packing


def test_rows_are_never_cut():
    """KerasHub's packers would keep the end and drop the middle."""
    with pytest.raises(ValueError, match="length=2 for a row of 3 tokens"):
        packing.rows_of([np.arange(3)], 2, pad=0)


def test_text_may_have_the_padding_id():
    """Llama 3 and Qwen use 0 for "!"; lengths tell padding from text."""
    prompt, response = np.array([0, 5]), np.array([0, 0, 7])
    ids, marked = packing.rows_of_segments([(prompt, response)], 8, pad=0)
    np.testing.assert_array_equal(ids, [[0, 5, 0, 0, 7, 0, 0, 0]])
    np.testing.assert_array_equal(marked, [[0, 0, 1, 1, 1, 0, 0, 0]])
    np.testing.assert_array_equal(
        packing.up_to_last(marked), [[1, 1, 1, 1, 1, 0, 0, 0]]
    )


def test_positions_are_counted_within_a_row():
    """Rows are padded with the first position, which the tasks restore."""
    marked = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]], bool)
    np.testing.assert_array_equal(
        packing.positions(marked, 2), [[1, 2], [0, 0], [0, 3]]
    )


def test_as_many_rows_as_columns_are_refused():
    """Keras 3.15 on TensorFlow would take a column for a row."""
    with pytest.raises(ValueError, match="batch_size=2 with 2 placeholders"):
        packing.positions(np.zeros((2, 5), bool), 2)


def test_marked_positions_come_first():
    """The rest of a row is filled with positions that are not marked."""
    marked = np.array([[0, 1, 1, 0], [1, 0, 0, 0]], bool)
    found = packing.first_marked(marked, 2)
    np.testing.assert_array_equal(found, [[1, 2], [0, 1]])
    assert found.dtype == "int32"
