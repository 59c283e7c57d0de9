"""Packs token ids into rows of one length, without ever cutting a text.

KerasHub's packers truncate long texts silently, and take each padding id for
padding, though some vocabularies have a text token of that id.
"""

import numpy as np


def rows_of(ids, length, pad):
    """Pads rows of ids to one length.

    Args:
        ids: list of N int arrays, none longer than `length`.
        length: int. Tokens in a row.
        pad: int. Id of padding.

    Returns:
        A pair `(token_ids, mask)` of arrays `(N, length)`: int32, and bool,
        `True` on text.

    Raises:
        ValueError: if a row does not fit.
    """
    token_ids = np.full((len(ids), length), pad, "int32")
    mask = np.zeros((len(ids), length), bool)
    for row, own in enumerate(ids):
        if len(own) > length:
            raise ValueError(
                "`length` must hold every row whole. Shorten the texts or "
                f"raise it. Received: length={length} for a row of {len(own)} "
                "tokens"
            )
        token_ids[row, : len(own)] = own
        mask[row, : len(own)] = True
    return token_ids, mask


def rows_of_segments(rows, length, pad):
    """Joins prompts and responses to rows, padded to one length.

    Args:
        rows: list of N pairs of int arrays, prompt and response.
        length: int. Tokens in a row.
        pad: int. Id of padding.

    Returns:
        A pair of int32 arrays `(N, length)`: token ids, and 1 on tokens of
        the response, else 0.
    """
    joined = [np.concatenate(segments) for segments in rows]
    token_ids, mask = rows_of(joined, length, pad)
    position = np.arange(length)
    num_prompt = np.array([len(prompt) for prompt, _ in rows])[:, None]
    return token_ids, (mask & (position >= num_prompt)).astype("int32")


def up_to_last(marked):
    """Marks each row up to the last position that is marked in it.

    A response ends its row, so its mask becomes the mask of the whole text.

    Args:
        marked: int or bool array, `(N, length)`.

    Returns:
        bool array, `(N, length)`.
    """
    marked = np.asarray(marked, bool)
    return np.cumsum(marked[:, ::-1], axis=-1)[:, ::-1] > 0


def positions(marked, width):
    """Lists the marked positions of each row in order, padded with 0.

    Args:
        marked: bool array, `(N, length)`, at most `width` marks in a row.
        width: int, other than N.

    Returns:
        int32 array, `(N, width)`.

    Raises:
        ValueError: if there are as many rows as columns. The tasks add a
            column to the result, and on TensorFlow `keras.ops.add` of Keras
            3.15 then adds it as a row: all images would be misplaced. Every
            backend refuses these sizes, so that code for one runs on all.
    """
    if len(marked) == width:
        raise ValueError(
            "`batch_size` must differ from the number of image placeholders "
            "that an example may have, or Keras 3.15 misplaces the images on "
            f"TensorFlow. Choose another. Received: batch_size={len(marked)} "
            f"with {width} placeholders"
        )
    found = np.zeros((len(marked), width), "int32")
    for row, own in enumerate(marked):
        where = np.flatnonzero(own)
        found[row, : len(where)] = where
    return found


def first_marked(marked, width):
    """Lists the marked positions of each row in order, then others.

    Args:
        marked: bool array, `(N, length)`, at most `width` marks in a row.
        width: int.

    Returns:
        int32 array, `(N, width)`.
    """
    order = np.argsort(~marked, axis=-1, kind="stable")
    return order[:, :width].astype("int32")
