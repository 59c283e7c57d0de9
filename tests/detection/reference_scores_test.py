"""Scores under a reference: each view once, token by token."""

import keras
import numpy as np
import pytest

from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.data.views import (
    BlankImage,
    NoPrompt,
    Paraphrase,
    ShuffledImage,
)
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.reference_scores import ReferenceScores


@pytest.fixture(scope="module")
def prepared(make_vlm, make_examples):
    prompts = ["describe the image\n", "what colour is the left digit\n"] * 3
    examples = make_examples(6, prompts=prompts)
    return PreparedExamples(examples, make_vlm(), batch_size=4, verbose=0)


@pytest.fixture(scope="module")
def reference(prepared):
    return FrozenReference(prepared.task.task)


@pytest.fixture
def scores(prepared, reference):
    return ReferenceScores(reference, prepared)


def test_as_they_are_they_are_the_references(scores, reference, prepared):
    """And nothing is computed twice."""
    expected = reference.log_likelihoods(prepared.scoring_batches(), 0)[:6]
    np.testing.assert_allclose(scores.log_likelihoods, expected, atol=1e-5)
    maxima = scores.max_log_likelihoods
    assert (maxima >= scores.log_likelihoods - 1e-5).all()
    assert scores.under(None) is scores.under(None) is scores.token_scores
    assert scores.under(BlankImage()) is scores.under(BlankImage())
    assert len(scores) == 6 and scores.responses[0] == "red one"
    assert scores.example_ids[5] == "scene-5"
    np.testing.assert_array_equal(scores.response_mask, prepared.response_mask)
    off = ~scores.response_mask
    assert not scores.log_likelihoods[off].any() and not maxima[off].any()


@pytest.mark.parametrize(
    ("view", "change"),
    [
        (BlankImage(), lambda x: np.full(x.shape, 127.5)),
        (ShuffledImage(), lambda x: np.roll(x, -2, axis=0)),
    ],
)
def test_a_view_of_images_is_seen_by_the_model(
    view, change, scores, reference, prepared
):
    """Against a forward pass on images that were changed by hand."""
    images = prepared.images.pixels(range(6))
    x, y, mask = prepared.task.training_inputs(
        change(images.astype("float32")), *prepared.packed
    )
    expected = keras.ops.convert_to_numpy(reference(x, y, mask))
    found = scores.under(view).log_likelihoods
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - scores.log_likelihoods).max() > 1e-4


@keras.saving.register_keras_serializable(package="reference_scores_test")
def shorter(prompt):
    return "what"


@keras.saving.register_keras_serializable(package="reference_scores_test")
def longer(prompt):
    return "what is what " + prompt


@keras.saving.register_keras_serializable(package="reference_scores_test")
def too_long(prompt):
    return "what colour is what " * 6 + prompt


@pytest.mark.parametrize("view", [Paraphrase(shorter), Paraphrase(longer)])
def test_a_view_of_prompts_keeps_the_tokens_in_place(
    view, scores, prepared, reference
):
    """Responses move in the row; token by token they are compared in place."""
    examples = list(prepared.examples)
    for example in examples:
        example["prompts"] = view.prompt(example["prompts"])
    changed = PreparedExamples(
        examples, prepared.task.task, batch_size=4, verbose=0
    )
    values = reference.log_likelihoods(changed.scoring_batches(), 0)[:6]
    found = scores.under(view)
    np.testing.assert_array_equal(found.response_mask, scores.response_mask)
    for row in range(6):
        np.testing.assert_allclose(
            found.log_likelihoods[row][scores.response_mask[row]],
            values[row][changed.response_mask[row]],
            atol=1e-4,
        )


def test_nothing_asked_gives_other_scores(scores):
    """The response is scored after the newline alone."""
    found = scores.under(NoPrompt()).log_likelihoods
    assert np.abs(found - scores.log_likelihoods).max() > 1e-4


def test_a_view_that_leaves_no_room_is_refused(scores):
    """With the number of tokens that it took."""
    with pytest.raises(ValueError, match="room.*Received: [0-9]+ tokens"):
        scores.under(Paraphrase(too_long))


def test_nothing_is_scored_before_a_scorer_asks(prepared):
    """Making the object costs no pass, nor does asking for texts."""
    scores = ReferenceScores(None, prepared)
    assert len(scores) == 6 and scores.response_mask.shape[0] == 6
    with pytest.raises(AttributeError):
        scores.under(None)


def test_samples_are_drawn_once_for_a_count_and_a_seed(prepared, reference):
    """By the task itself, which writes as the reference before training."""
    scores = ReferenceScores(reference, prepared)
    first = scores.samples(2)
    assert first is scores.samples(2)
    assert scores.samples(2, seed=1) is not first
    assert [len(row) for row in first] == [2] * 6
    again = ReferenceScores(reference, prepared).samples(2)
    assert again == first
    assert {type(text) for row in first for text in row} == {str}


def test_the_batch_size_of_the_examples_can_be_changed(prepared, reference):
    """The scores do not depend on it."""
    one = ReferenceScores(reference, prepared, batch_size=6)
    other = ReferenceScores(reference, prepared, batch_size=2)
    np.testing.assert_allclose(
        one.log_likelihoods, other.log_likelihoods, atol=1e-5
    )


def test_what_is_scored_is_announced(prepared, reference, capsys):
    """With the view, or not at all."""
    quiet = ReferenceScores(reference, prepared)
    quiet.under(None)
    assert capsys.readouterr().out == ""
    scores = ReferenceScores(reference, prepared, verbose=1)
    scores.under(None)
    assert "Scoring 6 responses\n" in capsys.readouterr().out
    scores.under(BlankImage())
    assert "under BlankImage()\n" in capsys.readouterr().out
