"""Digests are equal for equal content only."""

import numpy as np
import pytest

from keras_byorn.data.digests import digest

IMAGE = np.arange(12, dtype="uint8").reshape(2, 2, 3)


def test_digest_is_the_same_in_every_run():
    """Ids in files of last year must still be found."""
    parts = ["a red three", np.zeros((1, 1, 3), "uint8")]
    assert digest(parts) == "61268533a184fae3f5feef76aeaa9ed6"
    assert digest(iter(parts)) == digest(parts)


def test_memory_layout_does_not_count():
    """A view with the same values is the same content."""
    assert digest([IMAGE.T]) == digest([np.ascontiguousarray(IMAGE.T)])


@pytest.mark.parametrize(
    "one, other",
    [
        (["ab", "c"], ["a", "bc"]),
        (["ab"], ["ab", ""]),
        ([IMAGE], [IMAGE.reshape(4, 1, 3)]),
        ([IMAGE], [IMAGE.astype("int16")]),
        ([IMAGE], [IMAGE[::-1]]),
    ],
)
def test_another_content_is_another_digest(one, other):
    """Ends of parts, shape, dtype and values all count."""
    assert digest(one) != digest(other)
