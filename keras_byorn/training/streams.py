"""Streams without ids: a sample to calibrate on, and a watch over the rest."""

import itertools
import warnings

import keras
import numpy as np
from keras import ops

from keras_byorn.audit.row import is_suspect
from keras_byorn.detection.dataset_scores import DatasetScores

# So much more may be held out of a stream than of its sample.
MAX_DRIFT = 0.1


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


class StreamWatch(keras.callbacks.Callback):
    """Warns where more of a stream is held out than of its sample.

    It trains on nothing of it, but the cut knows nothing of such data.

    Args:
        share: float. The share of the sample that was held out.
    """

    def __init__(self, share):
        super().__init__()
        self._share = share

    def on_epoch_end(self, epoch, logs=None):
        found = (logs or {}).get("held_out")
        if found is not None and found > self._share + MAX_DRIFT:
            warnings.warn(
                f"{found:.1%} of the stream were held out in epoch "
                f"{epoch + 1}, and {self._share:.1%} of the sample that it was "
                "calibrated on: the stream drifts, or somebody floods it. Look "
                "at its data, and calibrate again on a sample of the whole.",
                stacklevel=2,
            )


def checked_share(decision, plausibility):
    """Computes the share of a sample that a threshold holds out.

    Args:
        decision: a fitted threshold.
        plausibility: float array, `(N,)`.

    Returns:
        float.

    Raises:
        ValueError: if it is zero, for then all of the stream would be trained
            on, whatever comes.
    """
    held_out = is_suspect(decision.suspect_probability_of(plausibility))
    share = float(np.mean(held_out))
    if not share:
        raise ValueError(
            "`decision` must hold out something of the sample, or the stream "
            "is trained on as if undefended, whatever comes later. Leave it "
            "out for `HoldOut()`, or take a larger sample. Received: "
            f"{decision!r}, which holds out nothing ({decision.reason})"
        )
    return share


def check_in_step(scorer):
    """Refuses scorers that do not run within a training step."""
    if not scorer.in_step:
        raise ValueError(
            "`scorer` must be one that needs no more than a batch's own "
            "tokens, such as `MeanLogLikelihood()`, `Regret()` or "
            "`WorstSpan(4)`, for it runs within the training step. Pass others "
            f"to `Detector(scorer=...)`. Received: scorer={scorer!r}"
        )


def _in_numpy(batch):
    x, y, extra = keras.utils.unpack_x_y_sample_weight(batch)
    mask = extra["response_mask"] if isinstance(extra, dict) else extra
    x = {name: ops.convert_to_numpy(value) for name, value in x.items()}
    mask = ops.convert_to_numpy(mask).astype("bool")
    return x, ops.convert_to_numpy(y), {"response_mask": mask}
