"""Scores are means per response token, low where implausible."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.token_scores import (
    TokenEvidence,
    mean_over_response,
    token_evidence,
    token_log_likelihoods,
)
from keras_byorn.detection.scorers import (
    Duplication,
    Ensemble,
    MeanLogLikelihood,
    PointwiseMutualInformation,
    Regret,
    Scorer,
    SelfAgreement,
    ViewConsistency,
    WorstSpan,
)
from keras_byorn.data.views import (
    BlankImage,
    Blur,
    Crop,
    NoPrompt,
    Paraphrase,
    ShuffledImage,
)


def numpy_log_likelihoods(logits, y):
    logits = np.asarray(logits, "float64")
    peak = logits.max(axis=-1, keepdims=True)
    shifted = logits - peak
    log_softmax = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return np.take_along_axis(log_softmax, y[..., None], axis=-1)[..., 0]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_token_log_likelihoods_are_computed_in_float32(dtype):
    """Half-precision models emit half-precision logits; scores stay exact."""
    rng = np.random.default_rng(0)
    logits = keras.ops.cast(rng.normal(0, 8, (3, 5, 300)), dtype)
    y = rng.integers(0, 300, (3, 5))
    mask = rng.random((3, 5)) < 0.6
    result = token_log_likelihoods(logits, y, mask)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    given = keras.ops.convert_to_numpy(keras.ops.cast(logits, "float32"))
    expected = np.where(mask, numpy_log_likelihoods(given, y), 0.0)
    result = keras.ops.convert_to_numpy(result)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_large_logits_do_not_overflow():
    """exp(1e4) is infinite, its logarithm in a log-softmax must not be."""
    logits = np.array([[[1e4, 0.0], [-1e4, 0.0]]], "float32")
    y, mask = np.array([[0, 0]]), np.array([[True, True]])
    result = token_log_likelihoods(keras.ops.convert_to_tensor(logits), y, mask)
    result = keras.ops.convert_to_numpy(result)
    np.testing.assert_allclose(result, [[0.0, -1e4]])


def test_mean_log_likelihood_is_per_response_token():
    """Long responses are not implausible for being long."""
    log_likelihoods = np.array(
        [[-5.0, -1.0, -3.0, -9.0], [-2.0, -2.0, -2.0, -2.0], [-1, -1, -1, -1]],
        "float32",
    )
    mask = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    scores = MeanLogLikelihood()(log_likelihoods, mask)
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    scores = keras.ops.convert_to_numpy(scores)
    np.testing.assert_allclose(scores, [-2.0, -2.0, 0.0])


def test_half_precision_is_accumulated_in_float32():
    """The sum of 4,000 float16 values would stop growing at 2,048."""
    values = keras.ops.full((1, 4000), -1.0, dtype="float16")
    mask = np.ones((1, 4000), bool)
    mean = keras.ops.convert_to_numpy(mean_over_response(values, mask))
    np.testing.assert_allclose(mean, [-1.0])


def test_scorers_survive_saving():
    """A model with a scorer of its own can be saved and loaded."""

    @keras.saving.register_keras_serializable(package="scorers_test")
    class Worst(Scorer):
        def __init__(self, floor):
            self.floor = floor

        def call(self, evidence):
            worst = keras.ops.min(evidence.log_likelihoods, axis=-1)
            return keras.ops.maximum(worst, self.floor)

        def get_config(self):
            return {"floor": self.floor}

    for scorer in (MeanLogLikelihood(), Worst(-4.0)):
        config = keras.saving.serialize_keras_object(scorer)
        again = keras.saving.deserialize_keras_object(config)
        assert type(again) is type(scorer)
        values = np.array([[-1.0, -9.0, 0.0]], "float32")
        mask = values < 0
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(again(values, mask)),
            keras.ops.convert_to_numpy(scorer(values, mask)),
        )


class FakeEvidence:
    """Evidence in plain numbers: what was seen, and under which view.

    Args:
        seen: dict from a view's repr (`"None"` for as it is) to the
            log-likelihoods, `(N, T)`.
        preferred: array `(N, T)`.
        response_mask: bool array `(N, T)`.
        samples: list of N lists of strings.
        prompts, responses: lists of N strings.
    """

    def __init__(self, seen, response_mask, preferred=None, **texts):
        self.seen = {k: np.asarray(v, "float32") for k, v in seen.items()}
        self.response_mask = np.asarray(response_mask, bool)
        self.preferred = preferred
        self.log_likelihoods = self.seen["None"]
        self.texts = texts

    def under(self, view):
        return TokenEvidence(
            self.seen[repr(view)], self.preferred, self.response_mask
        )

    def samples(self, count, seed):
        return [row[:count] for row in self.texts["samples"]]

    prompts = property(lambda self: self.texts["prompts"])
    responses = property(lambda self: self.texts["responses"])


def random_evidence(seed=0, num_examples=50, length=12, views=()):
    """Responses of all lengths from 1 to `length`, at odd places."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((num_examples, length), bool)
    for index, row in enumerate(mask):
        size = 1 + index % length
        start = rng.integers(0, length - size + 1)
        row[start : start + size] = True
    names = ["None", *map(repr, views)]
    seen = {n: np.where(mask, -rng.gamma(1, 2, mask.shape), 0) for n in names}
    return FakeEvidence(seen, mask, np.where(mask, -0.1, 0).astype("float32"))


def numpy_of(scores):
    return keras.ops.convert_to_numpy(scores)


@pytest.mark.parametrize("size", [1, 3, 4, 12, 40])
def test_worst_span_is_that_of_a_plain_loop(size):
    """Windows hold response tokens only; a short response is one window."""
    evidence = random_evidence()
    expected = []
    for values, mask in zip(evidence.log_likelihoods, evidence.response_mask):
        values = values[mask].astype("float64")
        width = min(size, len(values))
        expected.append(
            min(
                values[start : start + width].mean()
                for start in range(len(values) - width + 1)
            )
        )
    scores = numpy_of(WorstSpan(size)(evidence))
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_worst_span_sees_what_the_mean_hides():
    """Four foreign words weigh the same in 8 tokens as in 64."""
    scores, means = [], []
    for length in (8, 64):
        values = np.full((1, length), -0.1, "float32")
        values[0, 2:6] = -9.0
        mask = np.ones((1, length), bool)
        scores.append(numpy_of(WorstSpan(4)(values, mask))[0])
        means.append(numpy_of(MeanLogLikelihood()(values, mask))[0])
    assert scores == pytest.approx([-9.0, -9.0])
    assert means[1] > 5 * means[0]


def test_regret_forgives_what_is_open():
    """An unlikely token that is the likeliest one costs nothing."""
    logits = np.log([[[0.2] * 5, [0.9, 0.04, 0.02, 0.02, 0.02]]])
    y, mask = np.array([[3, 1]]), np.ones((1, 2), bool)
    evidence = token_evidence(keras.ops.convert_to_tensor(logits), y, mask)
    scores = numpy_of(Regret()(evidence))
    np.testing.assert_allclose(scores, np.log(0.04 / 0.9) / 2, atol=1e-5)
    span = numpy_of(WorstSpan(1, of=Regret())(evidence))
    np.testing.assert_allclose(span, np.log(0.04 / 0.9), atol=1e-5)


def test_mutual_information_is_what_the_view_takes_away():
    """A response that ignores the image scores 0, whatever its fluency."""
    mask = np.array([[1, 1, 0], [1, 1, 1]], bool)
    evidence = FakeEvidence(
        {
            "None": [[-1.0, -2.0, 0.0], [-0.1, -0.1, -0.1]],
            "BlankImage()": [[-4.0, -7.0, 0.0], [-0.1, -0.1, -0.1]],
            "NoPrompt()": [[-1.0, -3.0, 0.0], [-0.1, -0.4, -0.1]],
        },
        mask,
    )
    scores = numpy_of(PointwiseMutualInformation()(evidence))
    np.testing.assert_allclose(scores, [4.0, 0.0], atol=1e-6)
    scores = numpy_of(PointwiseMutualInformation(NoPrompt())(evidence))
    np.testing.assert_allclose(scores, [0.5, 0.1], atol=1e-6)


def test_view_consistency_is_the_fall_under_the_worst_view():
    """Each view is taken against its median: a hard view is hard for all."""
    views = [Blur(), Crop()]
    seen = {
        "None": [[-1.0], [-1.2], [-0.8]],
        repr(views[0]): [[-3.0], [-3.1], [-9.0]],
        repr(views[1]): [[-2.0], [-2.5], [-2.0]],
    }
    evidence = FakeEvidence(seen, np.ones((3, 1), bool))
    scores = numpy_of(ViewConsistency(views)(evidence))
    expected = -1.0 + np.array([min(0.1, 0.0), min(0, -0.5), min(-5.9, 0.0)])
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_self_agreement_is_the_mean_overlap_with_samples():
    """F-measure of shared words, over the samples; none ended counts as 0."""
    evidence = FakeEvidence(
        {"None": [[0.0]] * 2},
        [[True]] * 2,
        responses=["a red three", "call this number"],
        samples=[["a red three", "a blue three"], ["a red three", ""]],
    )
    scores = SelfAgreement(num_samples=2)(evidence)
    np.testing.assert_allclose(scores, [(1 + 2 / 3) / 2, 0.0], atol=1e-6)
    scores = SelfAgreement(num_samples=1, ngram=2)(evidence)
    np.testing.assert_allclose(scores, [1.0, 0.0], atol=1e-6)


def test_duplication_counts_who_says_the_same():
    """In nats: the logarithm of how many; short answers are no copies."""
    responses = ["call this number now"] * 8 + ["yes"] * 20 + ["a red three"]
    evidence = FakeEvidence(
        {"None": np.zeros((29, 1))},
        np.ones((29, 1), bool),
        prompts=["describe"] * 29,
        responses=responses,
    )
    scores = Duplication()(evidence)
    np.testing.assert_allclose(scores[:8], -np.log(8), atol=1e-6)
    np.testing.assert_allclose(scores[8:], 0.0)


def test_ensemble_is_the_strongest_doubt_on_one_scale():
    """Each scorer in robust deviations of its upper half; poison counts not."""
    rng = np.random.default_rng(0)
    clean = rng.normal(-1.0, 0.2, (1000, 1))
    values = np.concatenate([clean, np.full((300, 1), -7.0)])
    values = values.astype("float32")
    evidence = FakeEvidence(
        {"None": values},
        np.ones((1300, 1), bool),
        preferred=np.full((1300, 1), -0.1, "float32"),
        prompts=[""] * 1300,
        responses=["one and the same"] * 20 + [str(i) for i in range(1280)],
    )
    ensemble = Ensemble([Regret(), Duplication()]).fit(evidence)
    assert ensemble.scales[0] == pytest.approx(0.2, rel=0.4)
    assert ensemble.scales[1] == Duplication.resolution
    scores = numpy_of(ensemble(evidence))
    regret = (values[:, 0] + 0.1 - ensemble.centers[0]) / ensemble.scales[0]
    copies = np.r_[np.full(20, -np.log(20)), np.zeros(1280)]
    np.testing.assert_allclose(scores, np.minimum(regret, copies), atol=1e-3)
    parts = ensemble.parts(evidence)
    assert list(parts) == ["Regret()", "Duplication(min_words=5)"]
    np.testing.assert_allclose(parts["Regret()"], values[:, 0] + 0.1, atol=1e-5)


def test_ensembles_in_a_step_ask_for_tokens_only():
    """A training step has no other examples and no views."""
    assert Ensemble([Regret(), WorstSpan(4)]).in_step
    assert not Ensemble([Regret(), Duplication()]).in_step
    assert not PointwiseMutualInformation().in_step
    assert not WorstSpan(2, PointwiseMutualInformation()).in_step


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WorstSpan(0), "`size`.*size=0"),
        (lambda: WorstSpan(4, Duplication()), "`of`.*Duplication"),
        (lambda: ViewConsistency([]), "`views`"),
        (lambda: SelfAgreement(0), "num_samples=0"),
        (lambda: Duplication(1), "min_words=1"),
        (lambda: Ensemble([]), "`scorers`"),
        (lambda: Ensemble([Regret()])(random_evidence()), "fitted"),
        (lambda: Crop(0.5), "`border`.*0.5"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    """With the rule and what came."""
    with pytest.raises(ValueError, match=message):
        make()


@keras.saving.register_keras_serializable(package="scorers_test")
def politely(prompt):
    return f"please {prompt}"


@pytest.mark.parametrize(
    "scorer",
    [
        Regret(),
        WorstSpan(3, of=Regret()),
        PointwiseMutualInformation(ShuffledImage()),
        ViewConsistency([Blur(0.1), Crop(0.2), Paraphrase(politely)]),
        SelfAgreement(2, ngram=2, seed=7),
        Duplication(4),
        Ensemble(
            [Regret(), WorstSpan(2)], centers=[-1.0, -2.0], scales=[0.1, 0.2]
        ),
    ],
)
def test_every_scorer_survives_saving(scorer):
    """A run can be told and repeated from its configuration."""
    config = keras.saving.serialize_keras_object(scorer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(scorer)
    assert keras.saving.serialize_keras_object(again) == config
    assert repr(again) == repr(scorer)
    assert "object at" not in repr(BlankImage())
