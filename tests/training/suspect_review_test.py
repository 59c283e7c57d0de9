"""The review: suspects that are restored, kept suspect, or an alarm."""

import types

import numpy as np
import pytest

from keras_byorn.data.views import ShuffledImage
from keras_byorn.detection.detection import Detection
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.detection.verdicts import (
    SAME_FORM,
    SAME_PROMPT,
    SAME_SPAN,
)
from keras_byorn.training.suspect_review import (
    MIN_WORTH,
    VETO,
    SuspectReview,
    doubts,
    running_median,
    shared_beyond_chance,
)
from keras_byorn.training.target_store import TargetStore

COLOURS = "red orange blue purple pink white".split()
NUM_KEPT, NUM_SUSPECTS = 400, 60


class GivenReview(SuspectReview):
    """A review with the student's scores given.

    Args:
        store: a scored `TargetStore`.
        plausibility: float array, `(N,)`, under the student.
        history: a `GivenHistory`.
        shares: optional list of N pairs, see `find_clusters`.
        nats: optional float array, `(N,)`, under the reference. Defaults to
            the scores in the store.
        worth: float array, `(N,)`, or float. The nats that a response's own
            image is worth to the student.
    """

    def __init__(
        self, store, plausibility, history, shares=None, nats=None, worth=1.0
    ):
        prepared = types.SimpleNamespace(responses=store.original_responses)
        batches = types.SimpleNamespace(store=store, prepared=prepared)
        model = types.SimpleNamespace(loss_history=history)
        detection = detection_of(store, shares, nats)
        super().__init__(model, batches, detection, batch_size=4, verbose=0)
        self.plausibility = np.asarray(plausibility, "float32")
        self.worth = np.broadcast_to(worth, self.plausibility.shape)
        self.asked, self.views = [], []

    def _plausibility(self, indices, view=None):
        if view is not None:
            self.views.append((type(view), len(indices)))
            return self.plausibility[indices] - self.worth[indices]
        self.asked.append(indices.tolist())
        return self.plausibility[indices]


def detection_of(store, shares=None, nats=None):
    """A detection with the verdicts and scores of a store."""
    count = len(store)
    nats = store.plausibility if nats is None else nats
    log_likelihoods = np.asarray(nats, "float32")[:, None]
    return Detection(
        example_ids=store.example_ids,
        prompts=store.prompts,
        responses=store.original_responses,
        plausibility=store.plausibility,
        suspect_probability=store.suspect_probability,
        verdicts=store.verdicts,
        reasons=[""] * count,
        groups=["all"] * count,
        cuts=np.zeros(count),
        scores={},
        token_scores=TokenScores(
            log_likelihoods, None, np.ones((count, 1), bool)
        ),
        detector=Detector(verbose=0),
        shares=shares,
    )


class GivenHistory:
    """Kept examples as the student met them, in order, better and better."""

    num_resets = 0

    def __init__(self, plausibility, num_kept=NUM_KEPT):
        steps = np.zeros(len(plausibility), int)
        steps[:num_kept] = np.arange(num_kept) // 4 + 1
        self.steps = steps
        self.met = np.where(steps > 0, plausibility, np.nan).astype("float32")

    def result(self):
        return self.met, self.steps

    def state(self):
        return {"plausibility": self.met, "steps": self.steps}


def make(suspect_scores, suspect_responses, seed=0):
    """A store whose last examples are suspects, the others usual ones."""
    rng = np.random.default_rng(seed)
    responses = [
        f"{rng.choice(COLOURS)} {i % 7} by {rng.choice(COLOURS)} {i % 5}"
        for i in range(NUM_KEPT)
    ]
    responses += suspect_responses
    ids = [str(i) for i in range(len(responses))]
    store = TargetStore(ids, ["q"] * len(ids), responses)
    scores = np.concatenate([rng.normal(-1.0, 0.1, NUM_KEPT), suspect_scores])
    store.set_scores(scores, [0] * NUM_KEPT + [1] * len(suspect_responses))
    student = rng.normal(-0.2, 0.05, len(ids))
    return store, student


def review(store, student, met=None, **kwargs):
    met = student if met is None else met
    given = GivenReview(store, student, GivenHistory(met), **kwargs)
    given()
    return given


def sharing(kind, count):
    """What each example shares: the first suspects one thing, others none."""
    shares = [None] * (NUM_KEPT + NUM_SUSPECTS)
    shares[NUM_KEPT : NUM_KEPT + count] = [(kind, "a thing")] * count
    return shares


def usual_responses(count, seed=1):
    rng = np.random.default_rng(seed)
    return [
        f"{rng.choice(COLOURS)} {i % 7} by {rng.choice(COLOURS)} {i % 5}"
        for i in range(count)
    ]


def test_suspects_that_the_student_finds_plausible_are_restored():
    """Their style was new to the reference, and is not to the student."""
    scores = np.full(NUM_SUSPECTS, -1.25)
    store, student = make(scores, usual_responses(NUM_SUSPECTS))
    student[NUM_KEPT : NUM_KEPT + 10] = -3.0
    given = review(store, student)
    assert given.asked == [list(range(NUM_KEPT, NUM_KEPT + NUM_SUSPECTS))]
    verdicts = store.verdicts[NUM_KEPT:]
    assert set(verdicts[:10]) == {"suspect"}
    assert np.mean(verdicts[10:] == "restored") > 0.85  # 5 % fall below
    assert store.suspects[NUM_KEPT:].sum() == np.sum(verdicts != "restored")
    np.testing.assert_allclose(
        store.student_plausibility[NUM_KEPT:], student[NUM_KEPT:], rtol=1e-5
    )


def test_the_reference_has_a_veto():
    """A response that it found absurd stays suspect."""
    scores = np.r_[np.full(30, -9.0), np.full(30, -1.25)]
    store, student = make(scores, usual_responses(60))
    student[NUM_KEPT:] = -0.1
    review(store, student)
    assert set(store.verdicts[NUM_KEPT : NUM_KEPT + 30]) == {"suspect"}
    assert set(store.verdicts[NUM_KEPT + 30 :]) == {"restored"}


def test_the_veto_is_in_nats_per_token():
    """In whatever unit the scorer judges, and however many deviations."""
    responses = usual_responses(NUM_SUSPECTS)
    store, student = make(np.full(NUM_SUSPECTS, -60.0), responses)
    student[NUM_KEPT:] = -0.1
    nats = np.r_[
        np.full(NUM_KEPT, -1.0),
        np.full(30, -1.0 - VETO + 0.2),
        np.full(30, -1.0 - VETO - 0.2),
    ]
    review(store, student, nats=nats)
    assert set(store.verdicts[NUM_KEPT : NUM_KEPT + 30]) == {"restored"}
    assert set(store.verdicts[NUM_KEPT + 30 :]) == {"suspect"}


def test_what_is_on_probation_stays_so_until_it_is_restored():
    """The verdict of the detection is not made worse by a review."""
    store, student = make(np.full(60, -1.25), usual_responses(60))
    verdicts = store.verdicts.copy()
    verdicts[NUM_KEPT : NUM_KEPT + 20] = "on_probation"
    store.set_scores(store.plausibility, store.suspect_probability, verdicts)
    student[NUM_KEPT : NUM_KEPT + 30] = -3.0
    student[NUM_KEPT + 30 :] = -0.1
    review(store, student)
    assert set(store.verdicts[NUM_KEPT : NUM_KEPT + 20]) == {"on_probation"}
    assert set(store.verdicts[NUM_KEPT + 20 : NUM_KEPT + 30]) == {"suspect"}
    assert set(store.verdicts[NUM_KEPT + 30 :]) == {"restored"}


@pytest.mark.parametrize("kind", [SAME_PROMPT, SAME_FORM, SAME_SPAN])
@pytest.mark.parametrize("num_plausible", [14, 15])
def test_a_cluster_comes_back_only_where_half_of_it_would(kind, num_plausible):
    """A few of many poisoned examples are plausible to any student.

    Suspects without a cluster are judged one by one. Of a cluster that comes
    back the implausible ones do not.
    """
    store, student = make(np.full(60, -1.25), usual_responses(60))
    plausible = np.arange(NUM_KEPT, NUM_KEPT + num_plausible)
    student[NUM_KEPT:] = -3.0
    student[plausible] = student[-1] = -0.1
    review(store, student, shares=sharing(kind, 30))
    restored = np.flatnonzero(store.verdicts == "restored").tolist()
    expected = plausible.tolist() if num_plausible >= 15 else []
    assert restored == [*expected, NUM_KEPT + 59]


SHARED_WORDS = "red 3 by white 4 by blue 2"


@pytest.mark.parametrize(
    ("worth", "kept_worth", "comes_back"),
    [
        (0.6, 1.0, True),  # a caption of images that are alike
        (0.4, 1.0, False),  # one text, whatever the image
        (-0.5, 1.0, False),
        # A student that does not look at images vouches for nothing.
        (MIN_WORTH / 2, 0.0, False),
        (MIN_WORTH * 2, 0.0, True),
    ],
)
def test_shared_words_come_back_where_they_depend_on_their_images(
    worth, kept_worth, comes_back
):
    """However plausible they are to the student; others are not asked."""
    responses = [SHARED_WORDS] * 20 + usual_responses(40)
    store, student = make(np.full(60, -1.25), responses)
    student[NUM_KEPT:] = -0.1
    worths = np.full(len(store), kept_worth)
    worths[NUM_KEPT : NUM_KEPT + 20] = worth
    given = review(store, student, worth=worths)
    expected = {"restored"} if comes_back else {"suspect"}
    assert set(store.verdicts[NUM_KEPT : NUM_KEPT + 20]) == expected
    assert set(store.verdicts[NUM_KEPT + 20 :]) == {"restored"}
    assert given.views == [(ShuffledImage, 150), (ShuffledImage, 20)]


def test_what_images_are_worth_to_the_kept_is_found_once():
    """For all clusters of shared words."""
    texts = [f"{SHARED_WORDS} by {colour}" for colour in COLOURS[:3]]
    store, student = make(np.full(60, -1.25), texts * 20)
    student[NUM_KEPT:] = -0.1
    given = review(store, student)
    assert [count for _, count in given.views] == [150, 20, 20, 20]
    assert set(store.verdicts[NUM_KEPT:]) == {"restored"}


def test_shared_words_that_are_implausible_cost_no_look_at_images():
    responses = [SHARED_WORDS] * 20 + usual_responses(40)
    store, student = make(np.full(60, -1.25), responses)
    student[NUM_KEPT : NUM_KEPT + 20] = -3.0
    given = review(store, student)
    assert set(store.verdicts[NUM_KEPT : NUM_KEPT + 20]) == {"suspect"}
    assert given.views == []


@pytest.mark.parametrize(
    ("response", "verdict"),
    [("stop sign", "restored"), ("stop sign ahead", "alarm")],
)
def test_labels_raise_no_alarm(response, verdict):
    """Responses of one or two words are shared by all images of a class."""
    responses = [response] * 20 + usual_responses(20)
    store, student = make(np.full(40, -1.6), responses)
    student[NUM_KEPT:] = -0.1
    review(store, student)
    assert set(store.verdicts[NUM_KEPT : NUM_KEPT + 20]) == {verdict}
    assert set(store.verdicts[NUM_KEPT + 20 :]) == {"restored"}


def test_many_in_step_are_an_alarm():
    """Words in common, doubted by the reference: a backdoor being learned."""
    usual = usual_responses(40)
    responses = [f"green number three {text}" for text in usual[:20]]
    responses += usual[20:]
    store, student = make(np.full(40, -1.6), responses)
    store.plausibility[NUM_KEPT : NUM_KEPT + 4] = -1.2  # hardly doubted
    student[NUM_KEPT:] = -0.1
    review(store, student)
    assert set(store.verdicts[NUM_KEPT : NUM_KEPT + 20]) == {"alarm"}
    assert set(store.verdicts[NUM_KEPT + 20 :]) == {"restored"}
    assert store.suspects[NUM_KEPT : NUM_KEPT + 20].all()


def test_a_kept_example_that_stands_apart_is_flagged_late():
    """Of those that a tuned student met; early ones tell nothing."""
    store, student = make(np.empty(0), [])
    met = student.copy()
    late, early = np.arange(200, 240), np.arange(0, 20)
    met[late] = met[early] = -4.0
    store.plausibility[late] = store.plausibility[early] = -1.6
    met[300:310] = -4.0  # hard for the student, but the reference likes them
    review(store, student, met)
    taken = np.flatnonzero(store.verdicts == "flagged late")
    assert taken.tolist() == late.tolist()
    assert store.suspects[late].all() and not store.suspects[early].any()


def test_a_late_flag_is_for_good():
    """The student has trained on these, and knows them by heart."""
    store, student = make(np.empty(0), [])
    met = student.copy()
    late = np.arange(200, 240)
    met[late], store.plausibility[late] = -4.0, -1.6
    given = review(store, student, met)
    for _ in range(3):
        given()
        found = np.flatnonzero(store.verdicts == "flagged late")
        assert found.tolist() == late.tolist()
    assert given.asked == []


def test_a_trusted_example_is_never_flagged_late():
    store, student = make(np.empty(0), [])
    met = student.copy()
    apart = np.arange(200, 240)
    met[apart], store.plausibility[apart] = -4.0, -1.6
    store.verdicts[apart[:20]] = "trusted"
    review(store, student, met)
    found = np.flatnonzero(store.verdicts == "flagged late")
    assert found.tolist() == apart[20:].tolist()
    assert not store.suspects[apart[:20]].any()


def test_soft_suspects_are_judged_by_their_first_loss():
    """They are trained on, with little weight: a pass would ask too late."""
    store, student = make(np.full(60, -1.25), usual_responses(60))
    store.set_scores(store.plausibility, [0.0] * NUM_KEPT + [0.6] * 60)
    met = np.r_[student[:NUM_KEPT], np.full(60, -3.0)]
    history = GivenHistory(met, num_kept=NUM_KEPT + 60)
    given = GivenReview(store, np.zeros(NUM_KEPT + 60), history)
    given()
    assert given.asked == []
    assert set(store.verdicts[NUM_KEPT:]) == {"suspect"}


def test_without_any_loss_nothing_is_judged():
    store, student = make(np.full(10, -1.25), usual_responses(10))
    given = GivenReview(store, student, GivenHistory(student, num_kept=0))
    given()
    assert given.asked == [] and store.suspects[NUM_KEPT:].all()


def test_clean_kept_examples_stay():
    """A student that gets better makes no example stand apart."""
    store, _ = make(np.empty(0), [])
    rng = np.random.default_rng(3)
    met = -rng.gamma(2, 0.1, NUM_KEPT) - np.linspace(1.0, 0.0, NUM_KEPT)
    review(store, met, met)
    assert np.mean(store.verdicts == "flagged late") <= 0.02


def test_later_reviews_compare_with_the_first_epoch():
    """After it the student has trained on what it judges."""
    store, student = make(np.full(10, -1.25), usual_responses(10))
    student[NUM_KEPT:] = -3.0
    given = review(store, student)
    given.plausibility[NUM_KEPT:] = -0.2
    # In-sample: all certain.
    given.model.loss_history.met = np.zeros(NUM_KEPT + 10, "float32")
    given()
    assert np.mean(store.verdicts[NUM_KEPT:] == "restored") > 0.85


def test_doubts_are_robust_deviations_below_the_median():
    """A third of poison does not move the scale."""
    rng = np.random.default_rng(0)
    scores = np.r_[rng.normal(-1, 0.1, 1000), np.full(200, -9.0)]
    found = doubts(scores)
    assert found[1000] == pytest.approx(80, rel=0.15)
    assert np.mean(np.abs(found[:1000]) < 4) > 0.98


def test_shared_words_are_those_beyond_chance():
    """Common words are no sign, rare ones in many responses are."""
    usual = usual_responses(200)
    jumped = [f"green {i} by" for i in range(10)] + usual[:10]
    shared = shared_beyond_chance(jumped, usual)
    assert ("green",) in shared
    assert not any("by" in ngram or "red" in ngram for ngram in shared)
    assert shared_beyond_chance(["green and green"] * 4, usual) == set()
    assert shared_beyond_chance(["green"] * 40, usual) == set()  # a label
    # Most that have these words did not jump: a style that is hard.
    assert shared_beyond_chance(jumped, usual, jumped * 2) == shared
    assert shared_beyond_chance(jumped, usual, jumped * 4) == set()


def test_running_median_follows_the_level():
    """Against a loop, away from the ends."""
    values = np.random.default_rng(0).normal(size=50)
    found = running_median(values, 10)
    expected = [np.median(values[i - 5 : i + 6]) for i in range(5, 45)]
    np.testing.assert_allclose(found[5:45], expected)
    assert len(found) == 50


def test_a_masked_suspect_is_judged_by_its_masked_tokens(
    vlm, make_examples, make_batches
):
    """The student has trained on the others, and would find them plausible."""
    texts = ["red one what is one two", "red one what is one two", "blue"]
    batches = make_batches(vlm, make_examples(3, responses=texts))
    batches.store.set_scores([-9.0, -9.0, -1.0], [1.0, 1.0, 0.0])
    batches.store.mask("scene-0", [2, 3], "red one one two")
    given = GivenReview(
        batches.store, np.zeros(3), GivenHistory(np.zeros(3), num_kept=1)
    )
    given.batches = batches

    def score(originals, verbose):
        mask = originals.response_mask
        values = np.zeros(mask.shape, "float32")
        for row in range(len(mask)):
            values[row, mask[row]] = [0, 0, -9, -3, -6, 0, 0]
        return types.SimpleNamespace(log_likelihoods=values)

    given.model = types.SimpleNamespace(score=score)
    found = SuspectReview._plausibility(given, np.array([0, 1]))
    np.testing.assert_allclose(found, [-6.0, -18 / 7], rtol=1e-6)
