"""Packed responses in batches, to be scored in order or by length."""

import keras
import numpy as np

from keras_byorn.data.length_buckets import batches_of, extremes_first
from keras_byorn.vlm.packing import first_marked


class ScoringBatches(keras.utils.PyDataset):
    """Batches of responses to some examples, in order and of one shape.

    Args:
        task: a `VisionLanguageTask`.
        images: callable from an int array, positions in this data set, to
            their images, or an `Embedded` that stands for them.
        packed: tuple of arrays with N rows of T + 1 tokens, see
            `VisionLanguageTask.pack`.
        buckets: a `LengthBuckets` that holds them.
        batch_size: int. The last batch is filled.

    Returns:
        Item `i` is a tuple `(x, y, sample_weight)`, as of `TargetBatches`,
        without positions of examples.
    """

    def __init__(self, task, images, packed, buckets, batch_size):
        super().__init__()
        self.task = task
        self.batch_size = batch_size
        self._images = images
        self._packed = packed
        self._buckets = buckets
        self._bucket_of = buckets.of(
            task.num_tokens(packed), self.response_mask.sum(axis=-1)
        )
        self._longest = int(self._bucket_of.max())

    @property
    def response_mask(self):
        """bool array `(N, T)`."""
        return self._packed[1][:, 1:].astype("bool")

    @property
    def largest_batch(self):
        """pair of ints. The most rows and response tokens of a batch.

        Equal for all parts of a data set, so that one program serves them.
        """
        return self.batch_size, self._buckets.widths[-1]

    def by_length(self):
        """Returns the rows in batches that are no longer than they must be."""
        return BatchesByLength(self, self._bucket_of)

    def __len__(self):
        return -(-len(self._packed[0]) // self.batch_size)

    def __getitem__(self, index):
        start = index * self.batch_size
        end = min(start + self.batch_size, len(self._packed[0]))
        return self.batch(np.arange(start, end), self._longest)

    def batch(self, rows, bucket):
        """Returns a batch of these rows, cut to a bucket's length and filled.

        Args:
            rows: int array, at most `batch_size` positions.
            bucket: int.
        """
        length = self._buckets.lengths[bucket]
        width = self._buckets.widths[bucket]
        fill = self.batch_size - len(rows)
        images, *packed = (
            filled(values, fill)
            for values in (
                self._images(rows),
                *(part[rows, : length + 1] for part in self._packed),
            )
        )
        x, y, mask = self.task.training_inputs(images, *packed)
        weight = np.ones(len(mask), "float32")
        weight[len(rows) :] = 0
        return (
            x,
            y,
            {
                "response_mask": mask,
                "response_positions": first_marked(mask, width),
                "weight": weight,
            },
        )


class BatchesByLength(keras.utils.PyDataset):
    """Batches of a `ScoringBatches` that put rows of like length together.

    The response mask alone is `(B, T)` in every batch, so that scores spread
    over it have one shape.

    Args:
        whole: a `ScoringBatches`.
        bucket_of: int array, `(N,)`. The bucket of each row.
    """

    def __init__(self, whole, bucket_of):
        super().__init__()
        self.largest_batch = whole.largest_batch
        self._whole = whole
        self._mask = whole.response_mask
        batches = batches_of(bucket_of, whole.batch_size)
        self._batches = extremes_first(batches)

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        rows, bucket = self._batches[index]
        x, y, extra = self._whole.batch(rows, bucket)
        fill = self._whole.batch_size - len(rows)
        extra["response_mask"] = filled(self._mask[rows], fill)
        return x, y, extra

    def rows_of(self, index):
        """Returns the rows of a batch, an int array without the filling.

        Args:
            index: int.
        """
        return self._batches[index][0]

    def in_order(self, values):
        """Puts rows of the batches back into the order of the examples.

        Args:
            values: array with a row for each row of the batches, fillers too.

        Returns:
            An array with N rows.
        """
        result = np.empty((len(self._mask), *values.shape[1:]), values.dtype)
        start = 0
        for rows, _ in self._batches:
            result[rows] = values[start : start + len(rows)]
            start += self._whole.batch_size
        return result


def filled(values, count):
    """Repeats the first row `count` times at the end."""
    if not count:
        return values
    return values[np.r_[: len(values), np.zeros(count, int)]]
