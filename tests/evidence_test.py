"""What scorers see of a data set: each view once, token by token."""

import numpy as np
import pytest

from keras_byorn.detection.dataset_scores import Evidence
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.data.views import (
    BlankImage,
    Blur,
    Crop,
    NoiseImage,
    NoPrompt,
    Paraphrase,
    Resize,
    ShuffledImage,
)


@pytest.fixture(scope="module")
def batches(make_vlm, make_examples, make_batches):
    prompts = ["describe the image\n", "what colour is the left digit\n"] * 3
    examples = make_examples(6, prompts=prompts)
    return make_batches(make_vlm(), examples, batch_size=4)


@pytest.fixture(scope="module")
def reference(batches):
    return FrozenReference(batches.task.task)


@pytest.fixture
def evidence(batches, reference):
    return Evidence(reference, batches)


def test_as_they_are_it_is_the_references_word(evidence, reference, batches):
    """And nothing is computed twice."""
    expected = reference.log_likelihoods(batches.originals(), 0)[:6]
    np.testing.assert_allclose(evidence.log_likelihoods, expected, atol=1e-5)
    assert (evidence.preferred >= evidence.log_likelihoods - 1e-5).all()
    assert evidence.under(None) is evidence.under(None)
    assert evidence.under(BlankImage()) is evidence.under(BlankImage())
    assert len(evidence) == 6 and evidence.responses[0] == "red one"


@pytest.mark.parametrize(
    ("view", "change"),
    [
        (BlankImage(), lambda x: np.full(x.shape, 127.5)),
        (ShuffledImage(), lambda x: np.roll(x, -2, axis=0)),
    ],
)
def test_a_view_of_images_is_what_the_model_would_see(
    view, change, evidence, reference, batches
):
    """Against a forward pass on images that were changed by hand."""
    images = batches.images(range(6))
    x, y, mask = batches.task.training_inputs(
        change(images.astype("float32")), *batches._originals
    )
    expected = reference(x, y, mask)
    found = evidence.under(view).log_likelihoods
    np.testing.assert_allclose(found, np.asarray(expected), atol=1e-4)
    assert np.abs(found - evidence.log_likelihoods).max() > 1e-4


@pytest.mark.parametrize(
    "view",
    [
        Paraphrase(lambda prompt: "what"),
        Paraphrase(lambda prompt: "what is what " + prompt),
    ],
)
def test_a_view_of_prompts_keeps_the_tokens_in_place(
    view, evidence, make_examples, make_batches, batches, reference
):
    """Responses move in the row; token by token they are compared in place."""
    examples = list(batches.examples)
    for example in examples:
        example["prompts"] = view.prompt(example["prompts"])
    changed = make_batches(batches.task.task, examples, batch_size=4)
    values = reference.log_likelihoods(changed.originals(), 0)[:6]
    found = evidence.under(view)
    for row in range(6):
        np.testing.assert_allclose(
            found.log_likelihoods[row][evidence.response_mask[row]],
            values[row][changed.response_mask[row]],
            atol=1e-4,
        )


def test_no_prompt_is_the_newline_that_ended_it(evidence):
    """The response is scored with nothing asked."""
    assert NoPrompt().prompt("describe\n") == "\n"
    assert NoPrompt().prompt("describe") == ""
    found = evidence.under(NoPrompt()).log_likelihoods
    assert np.abs(found - evidence.log_likelihoods).max() > 1e-4


def test_a_view_that_leaves_no_room_is_refused(evidence):
    """With the number of tokens that it took."""
    long = Paraphrase(lambda prompt: "what colour is what " * 6 + prompt)
    with pytest.raises(ValueError, match="room.*Received: [0-9]+ tokens"):
        evidence.under(long)


def test_samples_need_somebody_who_samples(evidence, batches, reference):
    """And are drawn once for a count and a seed."""
    with pytest.raises(ValueError, match="`sample`"):
        evidence.samples(2)
    calls = []

    def sample(count, seed):
        calls.append((count, seed))
        return [["a"] * count] * 6

    evidence = Evidence(reference, batches, sample=sample)
    assert evidence.samples(2) is evidence.samples(2)
    evidence.samples(2, seed=1)
    assert calls == [(2, 0), (2, 1)]


@pytest.mark.parametrize(
    "view", [Blur(), Crop(), Resize(), NoiseImage(3), BlankImage()]
)
def test_views_keep_shape_and_range(view):
    """Whatever the size; and a patch in a corner is gone after a crop."""
    images = np.zeros((2, 16, 16, 3), "uint8")
    images[:, -1:, -1:] = 255
    seen = np.asarray(view.images(images, (0, 255)))
    assert seen.shape == images.shape
    assert seen.min() >= -1e-3 and seen.max() <= 255 + 1e-3
    if isinstance(view, Crop):
        assert seen.max() == 0
    if isinstance(view, (Blur, Resize)):
        assert 20 < seen.max() < 254


def test_shuffled_images_are_never_ones_own():
    """In any number of examples but one."""
    for count in range(2, 40):
        positions = ShuffledImage().positions(np.arange(count), count)
        assert sorted(positions) == list(range(count))
        assert (positions != np.arange(count)).all()
