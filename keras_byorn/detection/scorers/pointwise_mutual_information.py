"""Pointwise mutual information of a response and its image or prompt."""

import keras

from keras_byorn.data.views import BlankImage
from keras_byorn.detection.scorers.scorer import TokenScorer, serialized


@keras.saving.register_keras_serializable(package="keras_byorn")
class PointwiseMutualInformation(TokenScorer):
    """Scores a response by what seeing the image adds to its likelihood.

    The mean over tokens of `log p(y_t | x, q) - log p(y_t | x', q')`, the
    primed input being a view without the image, or without the prompt. A
    fluent response that ignores its input, such as a refusal, scores near 0;
    one that describes it scores high. Costs one more pass of the reference.

    Args:
        without: a `View`: `BlankImage()`, `NoiseImage()`, `ShuffledImage()` or
            `NoPrompt()`. Defaults to `BlankImage()`.

    Returns:
        float32 tensor, `(B,)`, nats per token. Low is implausible.

    Reference:
        - [Holtzman et al., 2021](https://arxiv.org/abs/2104.08315), section 3,
          the domain-conditional form.
    """

    in_step = False
    resolution = 0.1

    def __init__(self, without=None):
        self.without = without or BlankImage()

    def token_values(self, scores):
        unseen = scores.under(self.without).log_likelihoods
        return scores.log_likelihoods - unseen

    def get_config(self):
        return {"without": serialized(self.without)}
