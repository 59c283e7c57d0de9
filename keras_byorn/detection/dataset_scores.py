"""Token scores and texts of a data set, for scorers and decisions."""

import numpy as np

from keras_byorn.data.validation import named, repeated
from keras_byorn.detection.choices import choices_of
from keras_byorn.detection.token_scores import TokenScores


class DatasetScores:
    """Token scores of a data set, with its texts.

    Args:
        token_scores: `TokenScores` of arrays, `(N, T)`.
        prompts, responses: sequences of N strings.
        example_ids: sequence of N strings, unique.

    Attributes:
        trusted: bool array, `(N,)`. Examples that are vouched for.
        dropped: bool array, `(N,)`. Those that a person holds out for good.

    Raises:
        ValueError: if shapes or counts differ, or an id comes twice.
    """

    def __init__(self, token_scores, prompts, responses, example_ids):
        self.prompts = list(prompts)
        self.responses = list(responses)
        self.example_ids = [str(i) for i in example_ids]
        self.token_scores = _checked(token_scores, self.example_ids)
        self._check_texts()
        self._choose_nothing()
        self._known = {}

    def __len__(self):
        return len(self.example_ids)

    @property
    def log_likelihoods(self):
        return self.token_scores.log_likelihoods

    @property
    def max_log_likelihoods(self):
        return self.token_scores.max_log_likelihoods

    @property
    def response_mask(self):
        return self.token_scores.response_mask

    def trust(self, trusted):
        """Vouches for examples, and drops what decisions in a file drop.

        Args:
            trusted: as `keras_byorn.detect` takes it.

        Raises:
            ValueError: if an id is not among the examples.
        """
        examples = zip(self.example_ids, self.prompts, self.responses)
        for chosen, ids in zip(
            (self.trusted, self.dropped), choices_of(trusted, examples)
        ):
            ids = set(ids)
            chosen |= np.array([i in ids for i in self.example_ids], bool)

    def under(self, view):
        """Returns the scores of the examples under a `View`.

        Args:
            view: a `View`, or `None` for the examples as they are.

        Returns:
            `TokenScores` of arrays, `(N, T)`. Response tokens stand at the
            positions of `response_mask`, wherever the view put them.

        Raises:
            ValueError: if the scores under this view are not known.
        """
        if view is None:
            return self.token_scores
        raise ValueError(
            "A scorer that changes images or prompts needs the model: call "
            "`keras_byorn.detect(examples, vlm, detector)` in the place of "
            "`detector.decide(token_scores, ...)`. Received: token scores "
            f"alone, and the view {view}"
        )

    def samples(self, count, seed=0):
        """Returns responses that the reference samples.

        Args:
            count: int. Samples for each example.
            seed: int.

        Returns:
            A list of N lists of `count` strings; an empty string where none
            ended.

        Raises:
            ValueError: if there is no model to sample from.
        """
        raise ValueError(
            "A scorer that samples responses needs the model: call "
            "`keras_byorn.detect(examples, vlm, detector)` in the place of "
            "`detector.decide(token_scores, ...)`. Received: token scores alone"
        )

    def computed_once(self, owner, compute):
        """Returns `compute()`, or what it returned for this owner before.

        Args:
            owner: any object, known by its identity.
            compute: callable without arguments.
        """
        if id(owner) not in self._known:
            # The owner is kept, so that no other object gets its identity.
            self._known[id(owner)] = owner, compute()
        return self._known[id(owner)][1]

    def _choose_nothing(self):
        self.trusted = np.zeros(len(self.example_ids), bool)
        self.dropped = np.zeros(len(self.example_ids), bool)

    def _check_texts(self):
        counts = len(self.prompts), len(self.responses)
        if set(counts) != {len(self)}:
            raise ValueError(
                "`prompts`, `responses` and `example_ids` must be as many as "
                f"`token_scores` has rows. Received: {counts[0]} prompts and "
                f"{counts[1]} responses for {len(self)} ids"
            )
        twice = repeated(self.example_ids)
        if twice.any():
            raise ValueError(
                "`example_ids` must be unique, for examples are known by them. "
                f"Received repeatedly: {named(self.example_ids, twice)}"
            )


def _checked(token_scores, example_ids):
    """Converts to float32 and bool arrays, 0 off the response."""
    mask = np.asarray(token_scores.response_mask, bool)
    given = {
        "log_likelihoods": token_scores.log_likelihoods,
        "max_log_likelihoods": token_scores.max_log_likelihoods,
    }
    arrays = {
        name: None if values is None else np.asarray(values, "float32")
        for name, values in given.items()
    }
    shapes = {
        name: values.shape
        for name, values in {**arrays, "response_mask": mask}.items()
        if values is not None
    }
    if set(shapes.values()) != {mask.shape} or mask.ndim != 2:
        raise ValueError(
            "`token_scores` must hold arrays of one shape, (N, T). "
            f"Received: {shapes}"
        )
    if len(mask) != len(example_ids):
        raise ValueError(
            "`token_scores` must have one row for each example. Received: "
            f"{len(mask)} rows for {len(example_ids)} examples"
        )
    _check_finite(arrays, mask, example_ids)
    zeroed = {
        name: values if values is None else np.where(mask, values, 0.0)
        for name, values in arrays.items()
    }
    return TokenScores(**zeroed, response_mask=mask)


def _check_finite(arrays, mask, example_ids):
    for name, values in arrays.items():
        if values is not None and not np.isfinite(values[mask]).all():
            wrong = ~np.isfinite(np.where(mask, values, 0.0)).all(axis=-1)
            raise ValueError(
                f"`token_scores.{name}` must be finite. A model that "
                "overflows in half precision gives NaN: score in bfloat16 or "
                f"float32. Received: {wrong.sum()} examples that are not: "
                f"{named(example_ids, wrong)}"
            )
