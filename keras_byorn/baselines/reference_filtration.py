"""RFTC: what differs from the reference's own response, and is alike."""

import collections
import re

import numpy as np

from keras_byorn.baselines.defence import Defence, fit_without
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.response_writer import ResponseWriter

SENTENCE = re.compile(r"[^.;!?]+")
MAX_CLUSTERS = 10
# Shares of a drop of the k-means loss, by which a bend in it is found.
BEND = 0.4
# Where there is no bend.
FALLBACK_CLUSTERS = 4
# Of the distance of a text from its centre.
SAME = 1e-6


class ReferenceFiltration(Defence):
    """Leaves out responses that the reference would not give, and are alike.

    Reference-Filtration and TF-IDF Clustering (RFTC) has a reference, here the
    pretrained model, write a response of its own to each example. A response
    is suspicious if a sentence of it shares less than `threshold` of its
    n-grams with that. The suspicious ones are clustered by the words in them;
    the cluster whose members are farthest from its centre is clean, and all
    others are left out. Where the members of each cluster are the same words,
    all of them are.

    Costs the generation of a response to each example.

    Args:
        threshold: float in (0, 1]. Least precision of n-grams. Defaults to
            0.1.
        ngram: int. Words in an n-gram. Defaults to 2.
        seed: optional int. Of the clustering. Defaults to that of the fit.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> fit = ReferenceFiltration().fit(vlm, examples, options)
    >>> fit.details["num_suspicious"], fit.details["num_clusters"]
    (830, 3)

    Reference:
        - [Chen et al., 2025](https://arxiv.org/abs/2505.23015), made for
          translation and for questions, with a weak reference of the task.
    """

    def __init__(self, threshold=0.1, ngram=2, seed=None):
        if not 0 < threshold <= 1:
            raise ValueError(
                "`threshold` is a share of n-grams and must be in (0, 1]. The "
                f"paper takes 0.1. Received: threshold={threshold}"
            )
        if not ngram >= 1:
            raise ValueError(
                "`ngram` is a number of words and must be at least 1. "
                f"Received: ngram={ngram}"
            )
        self.threshold = threshold
        self.ngram = ngram
        self.seed = seed

    def fit_prepared(self, vlm, prepared, options):
        own = self._own_responses(vlm, prepared, options)
        agreement = np.array(
            [
                precision(response, other, self.ngram)
                for response, other in zip(prepared.responses, own)
            ],
            "float32",
        )
        seed = options.seed if self.seed is None else self.seed
        suspect, num_clusters = self.decide(agreement, prepared.responses, seed)
        return fit_without(
            suspect,
            agreement,
            vlm,
            prepared,
            options,
            num_suspicious=int((agreement < self.threshold).sum()),
            num_clusters=num_clusters,
        )

    def decide(self, agreement, responses, seed=0):
        """Decides from agreements and texts alone, without a model.

        Args:
            agreement: float array, `(N,)`, in [0, 1].
            responses: sequence of N strings.
            seed: int.

        Returns:
            A pair of a bool array, `(N,)`, whether an example is suspect, and
            the number of clusters; 0 where there is nothing to cluster.
        """
        suspect = np.zeros(len(responses), bool)
        suspicious = np.flatnonzero(np.asarray(agreement) < self.threshold)
        texts = [responses[index] for index in suspicious]
        if len(texts) < 2:
            return suspect, 0
        labels, spread = _clusters(texts, seed)
        poisoned = labels != np.argmax(spread)
        if spread.max() < SAME:  # texts word by word: none of them is varied
            poisoned[:] = True
        suspect[suspicious[poisoned]] = True
        return suspect, len(spread)

    def _own_responses(self, vlm, prepared, options):
        """Writes the reference's response to each example, greedily."""
        reference = FrozenReference(vlm, adapters_off=True)
        with reference.writing() as task:
            write = ResponseWriter(prepared, "greedy", task=task)
            written = write(np.arange(len(prepared)), verbose=options.verbose)
        return [written.get(i, ("",))[0] for i in range(len(prepared))]


def precision(response, other, ngram=2):
    """Computes the least share of a sentence's n-grams that stand in a text.

    Each n-gram counts as often as it stands in the other text, at most, as in
    BLEU. Sentences that are too short for an n-gram are left out.

    Args:
        response: string.
        other: string.
        ngram: int. Defaults to 2.

    Returns:
        float in [0, 1]; 1 where no sentence is long enough.

    Example:

    >>> precision("a man walks. buy now", "a man walks a dog")
    0.0
    """
    known = _ngrams(other.lower().split(), ngram)
    shares = [1.0]
    for sentence in SENTENCE.findall(response.lower()):
        found = _ngrams(sentence.split(), ngram)
        if found:
            shares.append((found & known).total() / found.total())
    return min(shares)


def _ngrams(words, ngram):
    starts = range(len(words) - ngram + 1)
    return collections.Counter(tuple(words[i : i + ngram]) for i in starts)


def _clusters(texts, seed):
    """Clusters texts by TF-IDF.

    Returns:
        A pair of int array `(n,)`, the cluster of each text, and float array
        `(k,)`, the mean distance of a cluster's members from its centre.
    """
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(tokenizer=str.split, token_pattern=None)
    vectors = vectorizer.fit_transform(texts)
    most = min(MAX_CLUSTERS, len(set(texts)))
    fits = [
        KMeans(k, max_iter=600, tol=1e-5, n_init=10, random_state=seed).fit(
            vectors
        )
        for k in range(1, most + 1)
    ]
    chosen = fits[min(bend([f.inertia_ for f in fits]), most) - 1]
    distances = chosen.transform(vectors)
    own = distances[np.arange(len(texts)), chosen.labels_]
    spread = np.array(
        [own[chosen.labels_ == k].mean() for k in range(chosen.n_clusters)]
    )
    return chosen.labels_, spread


def bend(losses):
    """Finds the number of clusters behind which more of them gain little.

    Args:
        losses: list of floats. The sum of squared distances of 1, 2, ...
            clusters.

    Returns:
        int, at least 2.

    Reference:
        - [Chen et al., 2025](https://arxiv.org/abs/2505.23015)
    """
    gains = -np.diff(losses)
    whole = losses[0] - losses[-1]
    for k in range(1, len(gains)):
        explains = losses[0] - losses[k] > BEND * whole
        gains_little = gains[k] <= BEND * max(gains[0], gains[k - 1])
        if explains and gains_little:
            return k + 1
    return FALLBACK_CLUSTERS
