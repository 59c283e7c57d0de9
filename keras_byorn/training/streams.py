"""A sample of a stream, to calibrate a threshold on."""

import itertools

import keras
import numpy as np
from keras import ops

from keras_byorn.detection.dataset_scores import DatasetScores


class StreamSample(keras.utils.PyDataset):
    """The first batches of a stream, held in memory.

    Args:
        stream: iterable of batches as the task's preprocessor returns them,
            `(x, y, sample_weight)`, such as a `tf.data.Dataset` or a
            generator. A generator is consumed as far as it is read.
        num_batches: int. Batches to take.

    Raises:
        ValueError: if the stream has no batch, or `num_batches` is below 1.
    """

    def __init__(self, stream, num_batches):
        super().__init__()
        if num_batches < 1:
            raise ValueError(
                "`num_batches` is the number of batches to look at and must be "
                f"at least 1. Received: num_batches={num_batches}"
            )
        taken = itertools.islice(iter(stream), num_batches)
        self._batches = [_in_numpy(batch) for batch in taken]
        if not self._batches:
            raise ValueError(
                "`stream` must have at least one batch of `(x, y, "
                "sample_weight)`. Received: an empty "
                f"{type(stream).__name__}"
            )

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        return self._batches[index]

    @property
    def response_mask(self):
        """bool array `(N, T)`."""
        masks = [extra["response_mask"] for _, _, extra in self._batches]
        return np.concatenate(masks)

    def scored_by(self, reference, verbose):
        """Scores the sample under a reference: a `DatasetScores`.

        A stream has neither texts nor ids.

        Args:
            reference: a `FrozenReference`.
            verbose: as in `keras.Model.predict`.
        """
        found = reference.score(self, verbose)
        found = found._replace(response_mask=self.response_mask)
        nothing = [""] * len(found.response_mask)
        ids = map(str, range(len(nothing)))
        return DatasetScores(found, nothing, nothing, list(ids))


def _in_numpy(batch):
    x, y, extra = keras.utils.unpack_x_y_sample_weight(batch)
    mask = extra["response_mask"] if isinstance(extra, dict) else extra
    x = {name: ops.convert_to_numpy(value) for name, value in x.items()}
    mask = ops.convert_to_numpy(mask).astype("bool")
    return x, ops.convert_to_numpy(y), {"response_mask": mask}
