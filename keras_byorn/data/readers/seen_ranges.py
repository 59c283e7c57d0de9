"""Ranges of pixels that were told from the images of one data set."""

import collections
import warnings

from keras_byorn.data.readers.pixels import FLOAT_RANGES, INTEGER_RANGES

FEW_BITS = 1 / 8  # of 16 bits: what is darker may have 12 bits


class SeenRanges:
    """Counts images of more than 8 bits by the range that they were read in.

    The range of a float image follows from its own pixels, and a dark image
    may be mistaken: two ranges in one data set are a sign of that.
    """

    def __init__(self):
        self._counts = collections.defaultdict(collections.Counter)
        self._brightest = None

    def add(self, array, pixel_range):
        """Counts an image.

        Args:
            array: array of numbers.
            pixel_range: pair of numbers that it was read in.
        """
        black, white = map(float, pixel_range)
        kind = "floats" if array.dtype.kind == "f" else "integers"
        known = FLOAT_RANGES if kind == "floats" else INTEGER_RANGES
        name = "the image's own"
        if (black, white) in known:
            name = f"[{black:g}, {white:g}]"
        self._counts[kind][name] += 1
        if white == 65535:
            highest = float(array.max())
            self._brightest = max(highest, self._brightest or 0.0)

    def check(self):
        """Refuses two ranges of one kind; warns of 16 bits that are dark.

        Raises:
            ValueError: If some float images, or some integer ones, were read
                in another range than others.
        """
        for kind, counts in self._counts.items():
            if len(counts) > 1:
                told = ", ".join(
                    f"{n:,} in {name}" for name, n in counts.items()
                )
                raise ValueError(
                    "images must all have pixels in one range, which cannot "
                    "be told from them. Pass `pixel_range=(black, white)`. "
                    f"Received: images of {kind}, {told}"
                )
        if self._brightest is not None and self._brightest < FEW_BITS * 65535:
            warnings.warn(
                "Images of 16 bits have no pixel brighter than "
                f"{self._brightest:g} of 65535, and are nearly black. If they "
                "hold fewer bits, pass `pixel_range=(0, 4095)` (12 bits) or "
                "`(0, 1023)` (10 bits).",
                stacklevel=6,
            )
