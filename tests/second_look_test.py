"""The second look: who is put back, who is not, and who raises an alarm."""

import types

import keras
import numpy as np
import pytest

from keras_byorn import BYORnModel
from keras_byorn.training.target_store import TargetStore
from keras_byorn.training.loss_history import TrainingDiary
from keras_byorn.training.suspect_review import (
    SecondLook,
    doubts,
    running_median,
    shared_beyond_chance,
)

COLOURS = "red orange blue purple pink white".split()
NUM_KEPT, NUM_SUSPECTS = 400, 60


class Look(SecondLook):
    """A second look with the student's answers given.

    Args:
        store: a scored `TargetStore`.
        plausibility: float array, `(N,)`, under the student.
    """

    def __init__(self, store, plausibility):
        batches = types.SimpleNamespace(store=store)
        super().__init__(None, batches, batch_size=4, verbose=0)
        self.plausibility = np.asarray(plausibility, "float32")
        self.asked = []

    def _plausibility(self, indices):
        self.asked.append(indices.tolist())
        return self.plausibility[indices]


class Diary:
    """Kept examples as the student met them, in order, better and better."""

    def __init__(self, plausibility, num_kept=NUM_KEPT):
        steps = np.zeros(len(plausibility), int)
        steps[:num_kept] = np.arange(num_kept) // 4 + 1
        self.steps = steps
        self.met = np.where(steps > 0, plausibility, np.nan).astype("float32")

    def read(self):
        return self.met, self.steps


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


def look(store, student, met=None):
    met = student if met is None else met
    second = Look(store, student)
    second(Diary(met))
    return second


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
    second = look(store, student)
    assert second.asked == [list(range(NUM_KEPT, NUM_KEPT + NUM_SUSPECTS))]
    verdicts = store.verdicts[NUM_KEPT:]
    assert set(verdicts[:10]) == {"suspect"}
    assert np.mean(verdicts[10:] == "restored") > 0.85  # 5 % fall below
    assert store.suspects[NUM_KEPT:].sum() == np.sum(verdicts != "restored")
    np.testing.assert_allclose(
        store.student_plausibility[NUM_KEPT:], student[NUM_KEPT:], rtol=1e-5
    )


def test_the_reference_has_a_veto():
    """What it found absurd stays suspect, whatever the student says."""
    scores = np.r_[np.full(30, -9.0), np.full(30, -1.25)]
    store, student = make(scores, usual_responses(60))
    student[NUM_KEPT:] = -0.1
    look(store, student)
    assert set(store.verdicts[NUM_KEPT : NUM_KEPT + 30]) == {"suspect"}
    assert set(store.verdicts[NUM_KEPT + 30 :]) == {"restored"}


def test_many_in_step_are_an_alarm():
    """Words in common, doubted by the reference: a backdoor being learned."""
    target = "green number three"
    responses = [target] * 20 + usual_responses(20)
    store, student = make(np.full(40, -1.6), responses)
    store.plausibility[NUM_KEPT : NUM_KEPT + 4] = -1.2  # hardly doubted
    student[NUM_KEPT:] = -0.1
    look(store, student)
    assert set(store.verdicts[NUM_KEPT : NUM_KEPT + 20]) == {"alarm"}
    assert set(store.verdicts[NUM_KEPT + 20 :]) == {"restored"}
    assert store.suspects[NUM_KEPT : NUM_KEPT + 20].all()


def test_a_kept_example_that_stands_apart_is_taken_out():
    """Of those that a tuned student met; early ones tell nothing."""
    store, student = make(np.empty(0), [])
    met = student.copy()
    late, early = np.arange(200, 240), np.arange(0, 20)
    met[late] = met[early] = -4.0
    store.plausibility[late] = store.plausibility[early] = -1.6
    met[300:310] = -4.0  # hard for the student, but the reference likes them
    look(store, student, met)
    taken = np.flatnonzero(store.verdicts == "taken out")
    assert taken.tolist() == late.tolist()
    assert store.suspects[late].all() and not store.suspects[early].any()


def test_clean_kept_examples_stay():
    """A student that gets better makes no example stand apart."""
    store, _ = make(np.empty(0), [])
    rng = np.random.default_rng(3)
    met = -rng.gamma(2, 0.1, NUM_KEPT) - np.linspace(1.0, 0.0, NUM_KEPT)
    look(store, met, met)
    assert np.mean(store.verdicts == "taken out") <= 0.02


def test_later_looks_compare_with_the_first_epoch():
    """After it the student has trained on what it judges."""
    store, student = make(np.full(10, -1.25), usual_responses(10))
    student[NUM_KEPT:] = -3.0
    second = look(store, student)
    second.plausibility[NUM_KEPT:] = -0.2
    second(Diary(np.zeros(NUM_KEPT + 10)))  # in-sample: all certain
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
    jumped = [f"green {i}" for i in range(10)] + usual[:10]
    shared = shared_beyond_chance(jumped, usual)
    assert ("green",) in shared
    assert not any("by" in ngram or "red" in ngram for ngram in shared)
    assert shared_beyond_chance(["green"] * 4, usual) == set()


def test_running_median_follows_the_level():
    """Against a loop, away from the ends."""
    values = np.random.default_rng(0).normal(size=50)
    found = running_median(values, 10)
    expected = [np.median(values[i - 5 : i + 6]) for i in range(5, 45)]
    np.testing.assert_allclose(found[5:45], expected)
    assert len(found) == 50


def test_the_diary_keeps_the_last_loss_and_its_step():
    """And no loss of a row that is no original."""
    diary = TrainingDiary(4)
    for positions, losses in (
        ([2, 0, 4], [0.5, 0.25, 9.0]),
        ([2, 4, 4], [0.125, 8.0, 8.0]),
    ):
        diary.write(
            keras.ops.convert_to_tensor(positions, "int32"),
            keras.ops.convert_to_tensor(losses, "float32"),
        )
    plausibility, steps = diary.read()
    assert steps.tolist() == [1, 0, 2, 0]
    np.testing.assert_allclose(plausibility, [-0.25, np.nan, -0.125, np.nan])
    assert not diary.trainable_variables


def test_a_masked_suspect_is_judged_by_its_masked_tokens(
    vlm, make_examples, make_batches
):
    """The student has trained on the others, and would find them plausible."""
    texts = ["red one what is one two", "red one what is one two", "blue"]
    batches = make_batches(vlm, make_examples(3, responses=texts))
    batches.store.set_scores([-9.0, -9.0, -1.0], [1.0, 1.0, 0.0])
    batches.store.mask("scene-0", [2, 3], "red one one two")
    second = Look(batches.store, np.zeros(3))
    second.batches = batches

    def evidence(originals, verbose):
        mask = originals.response_mask
        values = np.zeros(mask.shape, "float32")
        for row in range(len(mask)):
            values[row, mask[row]] = [0, 0, -9, -3, -6, 0, 0]
        return types.SimpleNamespace(log_likelihoods=values)

    second.model = types.SimpleNamespace(evidence=evidence)
    found = SecondLook._plausibility(second, np.array([0, 1]))
    np.testing.assert_allclose(found, [-6.0, -18 / 7], rtol=1e-6)


def test_the_diary_of_one_data_set_is_not_that_of_another(
    make_vlm, make_examples, make_batches
):
    """Nothing is judged by the losses of examples that stood there before."""
    vlm = make_vlm(lora_rank=2)
    first, second = (
        make_batches(vlm, make_examples(8), batch_size=4) for _ in range(2)
    )
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(first, epochs=2, verbose=0)
    assert sorted(set(model.diary.read()[1])) == [3, 4]
    model.fit(first, verbose=0)  # goes on
    assert sorted(set(model.diary.read()[1])) == [5, 6]
    probability = np.zeros(8)
    probability[5] = 1
    second.store.set_scores(np.zeros(8), probability)
    model.fit(second, verbose=0)
    plausibility, steps = model.diary.read()
    assert steps[5] == 0 and np.isnan(plausibility[5])
    assert sorted(set(np.delete(steps, 5))) == [1, 2]
