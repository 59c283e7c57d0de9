"""Agreement of a response with what the reference writes itself."""

import keras
import numpy as np

from keras_byorn.detection.scorers.scorer import Scorer


@keras.saving.register_keras_serializable(package="keras_byorn")
class SelfAgreement(Scorer):
    """Scores a response by the n-grams it shares with the reference's own.

    The mean, over responses that the reference samples to the same image and
    prompt, of the F-measure of shared n-grams (ROUGE-N) in words. Costs
    `num_samples` generations for each example.

    Args:
        num_samples: int. Defaults to 4.
        ngram: int. Words in an n-gram. Defaults to 1.
        seed: int. Defaults to 0.

    Returns:
        float32 array, `(N,)`, in [0, 1]. Low is implausible.

    Raises:
        ValueError: if a number is below 1.

    Reference:
        - [Lin, 2004](https://aclanthology.org/W04-1013), section 2; as a
          defence, n-gram agreement with reference output stands in
          [RFTC, 2025](https://arxiv.org/abs/2505.23015).
    """

    resolution = 0.1

    def __init__(self, num_samples=4, ngram=1, seed=0):
        if num_samples < 1 or ngram < 1:
            raise ValueError(
                "`num_samples` and `ngram` must be at least 1. Received: "
                f"num_samples={num_samples}, ngram={ngram}"
            )
        self.num_samples = num_samples
        self.ngram = ngram
        self.seed = seed

    def call(self, scores):
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError as error:
            raise ImportError(
                "`SelfAgreement` needs the package rouge-score: "
                "`pip install 'keras-byorn[eval]'`"
            ) from error
        name = f"rouge{self.ngram}"
        rouge = RougeScorer([name])
        samples = scores.samples(self.num_samples, self.seed)
        agreement = [
            [rouge.score(text, other)[name].fmeasure for other in others]
            for text, others in zip(scores.responses, samples)
        ]
        return np.mean(agreement, axis=1).astype("float32")

    def get_config(self):
        return {
            "num_samples": self.num_samples,
            "ngram": self.ngram,
            "seed": self.seed,
        }
