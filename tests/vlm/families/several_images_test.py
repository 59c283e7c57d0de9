"""Examples of no, one and several images, each in place of its token."""

import numpy as np
import pytest

from keras_byorn.audit.html_images import one_picture
from keras_byorn.data.examples import Examples
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.vlm.tiny_models.pali_gemma import IMAGE_SIZE


@pytest.fixture(scope="module")
def gemma3(load):
    """A tiny Gemma 3, not to be changed."""
    return load("Gemma 3")


def example(prompt="what <start_of_image> is\n", images=1, response="red"):
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    images = [np.full(shape, 40 + 50 * i, "uint8") for i in range(images)]
    return {
        "example_id": "scene",
        "images": images,
        "prompts": prompt,
        "responses": response,
    }


def prepare(vlm, *examples, **kwargs):
    numbered = [dict(e, example_id=f"{i}") for i, e in enumerate(examples)]
    kwargs = {"batch_size": len(examples), "verbose": 0, **kwargs}
    return PreparedExamples(numbered, vlm, **kwargs)


def inputs_of(vlm, *examples):
    x, _, _ = prepare(vlm, *examples).scoring_batches()[0]
    return x


@pytest.mark.parametrize("images, prompt", [(1, "what is\n"), (0, None)])
def test_a_missing_placeholder_is_refused(gemma3, images, prompt):
    """The task would ignore the image silently."""
    bad = example(images=images)
    bad["prompts"] = prompt or bad["prompts"]
    with pytest.raises(ValueError, match="'<start_of_image>' once for each"):
        prepare(gemma3, example(), bad)


def test_a_placeholder_that_would_be_cut_is_refused(gemma3):
    """KerasHub's packer cuts a prompt's end, which holds the image."""
    far = example("red " * 30 + "<start_of_image>\n")
    with pytest.raises(ValueError, match="sequence_length.*'0'"):
        prepare(gemma3, far)


@pytest.mark.parametrize(
    "change", [{"responses": "red <img>"}, {"prompts": "<img> what\n"}]
)
def test_a_smuggled_placeholder_is_refused(gemma3, change):
    """Untrusted text must not take an image's place."""
    bad = {**example("what is\n", images=0), **change}
    with pytest.raises(ValueError, match="must not hold the placeholder.*'1'"):
        prepare(gemma3, example(), bad)


def test_too_many_images_are_refused(gemma3):
    """The error names the number that the preprocessor allows."""
    many = example("<start_of_image>" * 3, images=3)
    with pytest.raises(ValueError, match="0 to 2.*3 images"):
        prepare(gemma3, many)


def test_no_image_at_all_is_a_warning(gemma3):
    """Most likely the images have another name."""
    source = [dict(example("what is\n"), image=1)]
    del source[0]["images"]
    with pytest.warns(UserWarning, match="rename={'image': 'images'}"):
        PreparedExamples(source, gemma3, verbose=0)


def test_a_task_of_one_image_wants_one(load):
    """The error counts the images of an example that has another number."""
    vlm = load("PaliGemma")
    for images in (0, 2):
        with pytest.raises(ValueError, match=f"`images`.* 1 .*{images} images"):
            prepare(vlm, example("what\n", images=images))
    assert len(prepare(vlm, example("what\n", images=1))) == 1


def test_nested_lists_are_one_image():
    """Data sets give an image as nested lists of numbers, too."""
    image = np.zeros((2, 2, 3), "uint8")
    source = [image, image.tolist(), [image, image], [], None]
    rows = [
        {"example_id": f"{i}", "images": v, "prompts": "p", "responses": "r"}
        for i, v in enumerate(source)
    ]
    one, nested, several, empty, none = (e["images"] for e in Examples(rows))
    assert one.shape == nested.shape == (2, 2, 3)
    assert [v.shape for v in several] == [(2, 2, 3)] * 2
    assert empty == [] and none is None


def test_other_images_leave_an_example_as_it_is(load):
    """Gemma 3n counts images through the batch; a gap must shift none."""
    vlm = load("Gemma 3n")
    one = example("<start_of_image>\n", images=1)
    two = example("<start_of_image><start_of_image>\n", images=2)
    none = example("what is\n", images=0)
    two["images"] = [255 - image for image in two["images"]]
    mixed = inputs_of(vlm, one, none, two)["images"]
    converted = [
        image
        for e in (one, two)
        for image in inputs_of(vlm, e)["images"][0][: len(e["images"])]
    ]
    flat = mixed.reshape(-1, *mixed.shape[2:])
    np.testing.assert_allclose(flat[:3], converted, atol=1e-6)


def test_a_batch_as_large_as_its_images_is_refused(gemma3):
    """Keras on TensorFlow would take a column of positions for a row."""
    examples = [example()] * 8  # two images of four placeholders
    with pytest.raises(ValueError, match="batch_size=8 with 8 placeholders"):
        prepare(gemma3, *examples).scoring_batches()[0]
    assert prepare(gemma3, *examples, batch_size=7).scoring_batches()[0]


def test_the_audit_shows_all_images_of_an_example():
    """They stand side by side; no image is a white picture."""
    one, two = (np.full((4, 5, 3), value, "uint8") for value in (1, 2))
    assert one_picture(one) is one
    assert (
        one_picture([one, two]).mean(axis=(0, 2)).tolist() == [1] * 5 + [2] * 5
    )
    assert one_picture(None).min() == one_picture([]).min() == 255
