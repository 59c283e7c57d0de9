"""Masks for spans: of suspects that are plausible but for one."""

import keras_hub
import numpy as np
import pytest

from keras_byorn import attacks
from keras_byorn.data.digit_scenes import load_digit_scenes
from keras_byorn.data.examples import Examples
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detection import Detection
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import Regret
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.detection.verdicts import KEPT, SUSPECT
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.span_masking import SpanMasking
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.vlm.tiny_models import tiny_preset


class Reference:
    """Finds nothing wrong with what remains."""

    def __init__(self):
        self.shapes = set()

    def score(self, batches, verbose):
        masks = [extra["response_mask"] for _, _, extra in batches]
        self.shapes |= {mask.shape for mask in masks}
        zeros = np.zeros(np.concatenate(masks).shape, "float32")
        return TokenScores(zeros, zeros, np.concatenate(masks))


def make_detection(prepared, suspects, cuts):
    """A detection of suspects whose second token stands out."""
    suspects = np.asarray(suspects, bool)
    found = np.zeros(prepared.response_mask.shape, "float32")
    for row, response_mask in enumerate(prepared.response_mask):
        found[row, np.flatnonzero(response_mask)[1]] = -9 * suspects[row]
    count = len(prepared)
    return Detection(
        example_ids=prepared.example_ids,
        prompts=prepared.prompts,
        responses=prepared.responses,
        plausibility=np.where(suspects, -9.0, -1.0),
        suspect_probability=suspects,
        verdicts=np.where(suspects, SUSPECT, KEPT),
        reasons=[""] * count,
        groups=["all"] * count,
        cuts=cuts,
        scores={},
        token_scores=TokenScores(found, 0 * found, prepared.response_mask),
        detector=Detector(scorer=Regret()),
    )


@pytest.fixture
def mask_spans(vlm, make_examples):
    """Masks suspects whose second token stands out; returns the store."""

    def mask(responses, suspects, cuts, batch_size=4):
        examples = make_examples(len(responses), responses=responses)
        batches = TargetBatches(examples, vlm, batch_size=4, verbose=0)
        detection = make_detection(batches.prepared, suspects, cuts)
        batches.store.set_scores(
            detection.plausibility, detection.suspect_probability
        )
        reference = Reference()
        SpanMasking(detection, reference, batches, batch_size)(
            batches.store.suspects
        )
        length = batches.prepared.text_length
        assert reference.shapes <= {(batch_size, length)}
        return batches.store

    return mask


def test_a_response_that_many_suspects_share_is_replaced_as_a_whole(mask_spans):
    """A fixed target, though a part of it fits an image."""
    responses = ["red one two"] * 5 + ["red six two", "red one two", "blue six"]
    store = mask_spans(responses, [1] * 6 + [0] * 2, [-1.0] * 8)
    assert list(store.masked) == [0] * 5 + [1, 0, 0]
    assert store["scene-5"].masked_tokens == (1,)
    assert store["scene-5"].current_response == "red two"


def test_each_is_judged_by_the_cut_of_its_group(mask_spans):
    """Rests score 0 here: too little for the first; the third has no cut."""
    responses = ["red six two", "red six one", "red one two", "blue six"]
    store = mask_spans(responses, [1, 1, 1, 0], [0.1, -0.1, np.nan, -1.0])
    assert list(store.masked) == [0, 1, 0, 0]


PHRASE_TEXT = "call this number now"
FIXED = "red three left of blue seven"


class Masked:
    """A detection by the bundled preset: an inserted phrase, a fixed target.

    The fixed target is a caption like any other, of which most images have
    some part.
    """

    def __init__(self):
        scenes = load_digit_scenes("terse_captions", 128, 8, 5)
        clean = Examples(scenes["train"])
        self.clean = {e["example_id"]: e["responses"] for e in clean}
        insertion = attacks.ATTACKS["insertion"]()
        poisoned, self.inserted = attacks.poison_examples(
            clean, insertion, rate=0.15, seed=5
        )
        fixed = attacks.Backdoor(
            attacks.WordTrigger("please"), attacks.FixedTarget(FIXED)
        )
        poisoned, self.fixed = attacks.poison_examples(
            poisoned, fixed, rate=0.15, seed=6, exclude=self.inserted
        )
        vlm = keras_hub.models.PaliGemmaCausalLM.from_preset(tiny_preset())
        self.batches = TargetBatches(poisoned, vlm, batch_size=32, verbose=0)
        detector = Detector(decision=FlagFraction(0.3), verbose=0)
        self.defence = BYORnCallback(
            detector=detector,
            suspects="mask",
            batch_size=32,
            teacher="none",
            verbose=0,
        )
        model = BYORnModel(vlm)
        model.compile(optimizer="adam")
        model._batches = self.batches
        self.defence.set_model(model)
        self.defence.begin_fit()  # training itself is tested elsewhere
        self.rows = list(self.batches.store.rows())


@pytest.fixture(scope="module")
def masked():
    return Masked()


def test_most_insertions_are_masked_and_only_they(masked):
    """The rest is, to the word, the response before it was poisoned."""
    found = [row for row in masked.rows if row.masked_tokens]
    assert len(found) >= 0.6 * len(masked.inserted)
    for row in found:
        assert row.example_id in masked.inserted
        assert row.current_response == masked.clean[row.example_id]
        assert (row.origin, row.verdict) == ("masked", "suspect")


def test_no_token_of_the_phrase_is_ever_a_target(masked):
    """Not of any example, in any batch of the epoch."""
    (phrase,) = masked.batches.task.tokenize([PHRASE_TEXT])
    trained = {
        int(token)
        for _, y, extra in masked.batches
        for token in y[extra["response_mask"] & (extra["weight"] > 0)[:, None]]
    }
    assert trained and not trained & set(phrase.tolist())
    seen = np.concatenate([y.ravel() for _, y, _ in masked.batches])
    assert np.isin(phrase, seen).all()  # it stands in the inputs


def test_the_audit_gives_the_unpoisoned_responses_back(masked):
    """And says which tokens it took out."""
    audit = masked.defence.audit()
    clean = list(audit.clean_examples())
    assert len(clean) > 0.7 * len(masked.rows)
    for example in clean:
        if example["example_id"] not in masked.fixed:
            expected = masked.clean[example["example_id"]]
            assert example["responses"] == expected
    assert audit.notes["suspects"] == "mask"
    for row in audit.table.to_pylist():
        if row["masked_tokens"]:
            said = [row["tokens"][i].strip("▁") for i in row["masked_tokens"]]
            assert "".join(said) == PHRASE_TEXT.replace(" ", "")


def test_a_fixed_target_is_never_masked(masked):
    """All of it is the attacker's, whatever part fits an image."""
    fixed = [row for row in masked.rows if row.example_id in masked.fixed]
    assert sum(row.verdict == "suspect" for row in fixed) > 10
    assert not any(row.masked_tokens for row in fixed)
