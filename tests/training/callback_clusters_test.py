"""The treatment of what is held out, as its clusters propose."""

import json

import keras
import numpy as np
import pytest

from keras_byorn.detection.decisions import Decision, Flags
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import MeanLogLikelihood, Regret
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.detection.verdicts import (
    KEPT,
    ON_PROBATION,
    SAME_FORM,
    SAME_SPAN,
    SUSPECT,
)
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.target_store import TargetStore

COLOURS = "red green blue yellow purple white".split()
DIGITS = "one two three four five six seven eight nine".split()
USUAL = [f"{colour} {digit} left" for colour in COLOURS for digit in DIGITS]
SPAN = "is the is the"
ONE_TEXT, SPANS = slice(30, 38), slice(38, 44)
VARIED, ALONE = slice(44, 52), slice(52, 55)
TEXTS = [
    *USUAL[:30],
    *["red one two three"] * 8,
    *(f"{colour} four left {SPAN} white right two" for colour in COLOURS),
    *(f"what {digit}" for digit in DIGITS[:8]),
    *USUAL[40:43],
]


class GivenVerdicts(Decision):
    """Verdicts by hand: three clusters of suspects, and three on probation."""

    def decide(self, plausibility, scores, seed=0):
        count = len(plausibility)
        verdicts = np.full(count, KEPT, object)
        verdicts[ONE_TEXT] = verdicts[SPANS] = verdicts[VARIED] = SUSPECT
        verdicts[ALONE] = ON_PROBATION
        shares = [None] * count
        shares[SPANS] = [(SAME_SPAN, SPAN)] * 6
        shares[VARIED] = [(SAME_FORM, "questions")] * 8
        return Flags(
            suspect_probability=(verdicts != KEPT).astype("float32"),
            groups=np.full(count, "all", object),
            cuts=np.full(count, -100.0, "float32"),
            reasons=["by hand" if v != KEPT else "" for v in verdicts],
            reason="by hand",
            verdicts=verdicts,
            shares=shares,
        )


class Watched(BYORnCallback):
    """Notes the examples that are trained on as they came, in each epoch."""

    def begin_epoch(self):
        super().begin_epoch()
        index, replaced, _ = self.store.training_rows()
        self.__dict__.setdefault("trained", []).append(
            set(index[~replaced].tolist())
        )


@pytest.fixture
def make(make_vlm, make_examples, make_batches):
    """Makes batches whose teacher always writes one word, and a model."""

    def make(store=None):
        vlm = make_vlm(sequence_length=24)
        examples = make_examples(len(TEXTS), responses=TEXTS)
        batches = make_batches(vlm, examples, batch_size=8, store=store)
        (ids,) = batches.task.tokenize(["white"])
        batches.task.generate_ids = lambda images, *_: [ids] * len(images)
        model = BYORnModel(vlm)
        model.compile(
            keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5)
        )
        return batches, model

    return make


def detected(batches, trusted=None, maxima=True):
    """A detection by hand; the tokens of the span stand out in the scores."""
    prepared = batches.prepared
    mask = prepared.response_mask
    values = np.where(mask, -1.0, 0.0).astype("float32")
    for row in range(30):  # so that few tokens stand out
        values[row, np.flatnonzero(mask[row])[0]] = -50.0
    for row in range(SPANS.start, SPANS.stop):
        values[row, np.flatnonzero(mask[row])[3:7]] = -90.0
    scorer = Regret() if maxima else MeanLogLikelihood()
    return Detector(scorer, GivenVerdicts(), verbose=0).decide(
        TokenScores(values, 0 * values if maxima else None, mask),
        prepared.prompts,
        prepared.responses,
        prepared.example_ids,
        trusted,
    )


def fit(model, batches, defence, epochs=3):
    return model.fit(
        batches, epochs=epochs, callbacks=[defence], verbose=0
    ).history


def origins(store, part):
    return {row.origin for row in list(store.rows())[part]}


def positions(part):
    return set(range(part.start, part.stop))


def test_each_cluster_is_treated_as_it_proposes(make):
    """One text is replaced, a span masked; nothing else is overwritten."""
    batches, model = make()
    detection = detected(batches)
    proposed = [(c.size, c.kind, c.proposal) for c in detection.clusters]
    assert proposed == [
        (8, "same words", "replace"),
        (6, "same span", "mask"),
        (8, "same form", "leave out"),
        (3, "none", "restore"),
    ]
    defence = Watched(detection, review=False, verbose=0)
    history = fit(model, batches, defence)
    store = batches.store
    assert origins(store, ONE_TEXT) == {"regenerated"}
    assert {row.current_response for row in list(store.rows())[ONE_TEXT]} == {
        "white"
    }
    assert origins(store, SPANS) == {"masked"}
    for index in range(SPANS.start, SPANS.stop):
        assert {3} <= set(store.masked_tokens(index)) <= {3, 4, 5, 6}
    assert origins(store, VARIED) == origins(store, ALONE) == {"excluded"}
    assert history["num_regenerated"] == [0, 8, 8]
    # Masks hold from the first epoch on.
    assert history["num_masked"] == [6, 6, 6]
    expected = set(range(30)) | positions(SPANS)
    assert defence.trained == [expected] * 3


@pytest.mark.parametrize("review", [False, True])
def test_a_varied_cluster_is_never_overwritten(make, review):
    """Restored as a whole by the review or left out, whoever is right."""
    batches, model = make()
    defence = BYORnCallback(detected(batches), review=review, verbose=0)
    fit(model, batches, defence)
    rows = list(batches.store.rows())[VARIED]
    assert {row.origin for row in rows} <= {"excluded", "original"}
    assert all(row.replacement is None for row in rows)


def test_a_varied_cluster_is_replaced_where_it_is_asked(make):
    batches, model = make()
    defence = BYORnCallback(
        detected(batches), suspects="replace", review=False, verbose=0
    )
    fit(model, batches, defence, epochs=2)
    for part in (ONE_TEXT, SPANS, VARIED, ALONE):
        assert origins(batches.store, part) == {"regenerated"}


def test_a_resumed_run_overwrites_no_varied_responses_either(make, tmp_path):
    """Without the detection, what is held out tells what it shares."""
    batches, model = make()
    defence = BYORnCallback(detected(batches), review=False, verbose=0)
    fit(model, batches, defence, epochs=1)
    path = batches.store.save(tmp_path / "targets.parquet")
    batches, model = make(TargetStore.load(path))
    fit(model, batches, BYORnCallback(verbose=0), epochs=2)
    store = batches.store
    assert origins(store, ONE_TEXT) == {"regenerated"}
    assert origins(store, SPANS) == {"masked"}
    assert origins(store, VARIED) == origins(store, ALONE) == {"excluded"}


def test_spans_that_cannot_be_found_are_left_out(make):
    """Without the likeliest tokens nobody knows which ones stand out."""
    batches, model = make()
    defence = BYORnCallback(
        detected(batches, maxima=False), review=False, verbose=0
    )
    fit(model, batches, defence, epochs=2)
    assert origins(batches.store, SPANS) == {"excluded"}
    assert origins(batches.store, ONE_TEXT) == {"regenerated"}


def test_history_counts_what_is_held_out_of_each_cluster(make):
    """In integers; the numbers are those of the detection."""
    batches, model = make()

    class RestoreOne(BYORnCallback):
        def begin_epoch(self):
            super().begin_epoch()
            if self._num_epochs == 1:
                restored = {VARIED.start: "restored", ALONE.start: "restored"}
                self.store.review(restored, self.store.student_plausibility)

    defence = RestoreOne(detected(batches), review=False, verbose=0)
    history = fit(model, batches, defence, epochs=2)
    assert history["num_held_out"] == [25, 23]
    assert history["num_suspect"] == [22, 21]
    assert history["num_on_probation"] == [3, 2]
    assert history["num_restored"] == [0, 2]
    assert [history[f"cluster_{n}"] for n in (1, 2, 3, 4)] == [
        [8, 8],
        [6, 6],
        [8, 7],
        [3, 2],
    ]
    assert "cluster_5" not in history
    assert type(history["cluster_3"][0]) is int


def test_a_trusted_example_is_trained_on_from_the_first_epoch(make):
    """As it came, in every epoch, and the review leaves it alone."""
    batches, model = make()
    trusted = [batches.examples.example_ids[i] for i in (VARIED.start, 52)]
    defence = Watched(detected(batches, trusted), verbose=0)
    fit(model, batches, defence)
    assert len(defence.trained) == 3
    assert all({VARIED.start, 52} <= found for found in defence.trained)
    assert not defence.trained[0] & {VARIED.start + 1, 53}
    for index in (VARIED.start, 52):
        row = batches.store[batches.examples.example_ids[index]]
        assert (row.origin, row.verdict) == ("original", "trusted")


def test_what_is_trusted_later_comes_back(make, tmp_path):
    """Into a store that is scored already; all else stays as it was."""
    batches, model = make()
    detection = detected(batches)
    defence = BYORnCallback(detection, review=False, verbose=0)
    fit(model, batches, defence, epochs=2)
    path = batches.store.save(tmp_path / "targets.parquet")
    batches, model = make(TargetStore.load(path))
    detection.trust(cluster=1)  # the one text
    detection.trust(cluster=1)  # the spans, numbered anew
    defence = Watched(detection, review=False, verbose=0)
    history = fit(model, batches, defence, epochs=2)
    store = batches.store
    for part in (ONE_TEXT, SPANS):
        assert origins(store, part) == {"original"}
        assert set(store.verdicts[part]) == {"trusted"}
        assert positions(part) <= defence.trained[0]
    assert origins(store, VARIED) == {"excluded"}
    assert set(store.verdicts[ALONE]) == {"on_probation"}
    assert history["num_held_out"] == [11, 11]
    assert history["num_masked"] == history["num_regenerated"] == [0, 0]


def test_trust_counts_where_training_goes_on(make):
    """The same callback, model and store: the review knows the clusters."""
    batches, model = make()
    detection = detected(batches)
    defence = BYORnCallback(detection, verbose=0, teacher="none")
    fit(model, batches, defence, epochs=1)
    detection.trust(cluster=1)
    fit(model, batches, defence, epochs=1)
    assert set(batches.store.verdicts[ONE_TEXT]) == {"trusted"}
    assert defence.detection.clusters == detection.clusters
    assert defence._reviewer.detection is defence.detection


@pytest.mark.parametrize("suspects", ["cluster", "replace", "mask"])
def test_what_a_reviewer_dropped_stays_out(make, suspects):
    """Whatever its cluster proposed: no mask, no new text, no way back."""
    batches, model = make()
    detection = detected(batches)
    (alone, *_), (one_text, *_) = positions(ALONE), positions(ONE_TEXT)
    (span, *_), dropped = positions(SPANS), []
    for index in (0, alone, one_text, span):  # the first was kept
        dropped.append(detection.example_ids[index])
    detection.drop(dropped)
    defence = Watched(detection, suspects=suspects, verbose=0)
    fit(model, batches, defence)
    for example_id in dropped:
        row = batches.store[example_id]
        assert (row.origin, row.verdict) == ("excluded", "suspect")
    out = {0, alone, one_text, span}
    assert not out & set().union(*defence.trained)


def test_what_is_dropped_later_goes_out(make, tmp_path):
    """Of a store that trained on it, or on a text in its place."""
    batches, model = make()
    detection = detected(batches)
    fit(model, batches, BYORnCallback(detection, verbose=0), epochs=2)
    path = batches.store.save(tmp_path / "targets.parquet")
    dropped = [detection.example_ids[i] for i in (0, ONE_TEXT.start)]
    before = [TargetStore.load(path)[i].origin for i in dropped]
    assert before == ["original", "regenerated"]
    batches, model = make(TargetStore.load(path))
    detection = detected(batches).drop(dropped)
    fit(model, batches, BYORnCallback(detection, verbose=0), epochs=1)
    after = [batches.store[i].origin for i in dropped]
    assert after == ["excluded", "excluded"]


def test_the_callback_takes_decisions(make, tmp_path):
    """For a detection that is given, and for one that it makes."""
    batches, model = make()
    detection = detected(batches)
    ids = batches.examples.example_ids
    trusted, dropped = ids[ONE_TEXT.start], ids[0]
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps({"trust": [trusted], "drop": [dropped]}))
    defence = Watched(detection, review=False, verbose=0, trusted=path)
    fit(model, batches, defence, epochs=2)
    store = batches.store
    assert (store[trusted].origin, store[trusted].verdict) == (
        "original",
        "trusted",
    )
    assert (store[dropped].origin, store[dropped].verdict) == (
        "excluded",
        "suspect",
    )
    assert not detection.trusted.any() and not detection.dropped.any()


@pytest.mark.filterwarnings("ignore:.*examples tell little")
def test_decisions_are_heard_before_a_detector_decides(make):
    """By the ids of the examples, or by lists of both kinds."""
    batches, model = make()
    ids = batches.examples.example_ids
    defence = Watched(
        detector=Detector(MeanLogLikelihood(), GivenVerdicts(), verbose=0),
        suspects="replace",
        review=False,
        verbose=0,
        trusted={"trust": [ids[ONE_TEXT.start]], "drop": [ids[0]]},
    )
    fit(model, batches, defence, epochs=2)
    assert defence.detection.trusted_ids == [ids[ONE_TEXT.start]]
    assert np.flatnonzero(defence.detection.dropped).tolist() == [0]
    assert batches.store[ids[0]].origin == "excluded"
    # Nothing is decided on a store that is scored already.
    other = BYORnCallback(verbose=0, trusted=[ids[0]])
    with pytest.raises(ValueError, match="`trusted` is heard when a detection"):
        fit(model, batches, other, epochs=1)
