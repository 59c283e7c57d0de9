"""Plausibility of a response when the image or prompt is changed."""

import keras
import numpy as np

from keras_byorn.data.views import Blur, Crop, Resize
from keras_byorn.detection.scorers.mean_log_likelihood import (
    MeanLogLikelihood,
)
from keras_byorn.detection.scorers.scorer import (
    Scorer,
    in_blocks,
    serialized,
)
from keras_byorn.detection.token_scores import TokenScores


@keras.saving.register_keras_serializable(package="keras_byorn")
class ViewConsistency(Scorer):
    """Scores a response by its plausibility under the hardest view.

    A trigger that makes a target plausible to the reference itself is fine or
    local detail. A crop, a blur or a smaller image removes it, and the
    plausibility falls. A view that is hard for every example is no reason to
    doubt one, so each view is taken against its median.

    Args:
        views: list of `View`s. Defaults to `Blur()`, `Crop()` and `Resize()`.
            Each costs one more pass of the reference.
        of: the scorer that looks at each view. Defaults to
            `MeanLogLikelihood()`.

    Returns:
        float32 tensor, `(N,)`, in the unit of `of`: the median of the examples
        as they are, and how far below the views' medians it fell at worst.

    Raises:
        ValueError: if `views` is empty.
    """

    def __init__(self, views=None, of=None):
        self.views = [Blur(), Crop(), Resize()] if views is None else views
        self.of = of or MeanLogLikelihood()
        if not self.views:
            raise ValueError(
                "`views` must have at least one view, such as `Blur()`. "
                f"Received: views={views}"
            )

    def call(self, scores):
        level = np.median(self._seen(scores, None))
        fallen = []
        for view in self.views:
            seen = self._seen(scores, view)
            fallen.append(seen - np.median(seen))
        return level + np.min(fallen, axis=0)

    def _seen(self, scores, view):
        """Scores of the examples under a view, float32 array `(N,)`."""
        return in_blocks(
            lambda *columns: self.of(TokenScores(*columns)),
            *scores.under(view),
        )

    def get_config(self):
        return {"views": serialized(self.views), "of": serialized(self.of)}
