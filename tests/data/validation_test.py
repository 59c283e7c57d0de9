"""Examples that a task cannot be trained on are refused, by id."""

import types

import numpy as np
import pytest
from reader_cases.case import tiny

from keras_byorn.data import validation
from keras_byorn.data.prepared import PreparedExamples


@pytest.fixture(scope="module")
def vlm(make_vlm):
    """A tiny PaliGemma that no test here changes."""
    return make_vlm()


def test_too_long_texts_are_refused_by_id(vlm, make_examples):
    """The packer would cut them silently."""
    responses = ["red", "red " * 12 + "one", "blue", "one " * 20]
    examples = make_examples(4, responses=responses)
    message = r"sequence_length.*2 examples.*'scene-1' \(19\).*'scene-3'"
    with pytest.raises(ValueError, match=message):
        PreparedExamples(examples, vlm, verbose=0)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda i: i[..., 0], r"shape \(height, width, 3\).*\(16, 16\)"),
        (lambda i: i[None], r"no batch axis.*\(1, 16, 16, 3\)"),
        (lambda i: i[..., :1], r"np.repeat.*\(16, 16, 1\)"),
        (lambda i: np.zeros((16, 16, 4), "uint8"), r"\(16, 16, 4\)"),
        (lambda i: i[:8], r"one size.*\(8, 16, 3\)"),
        (lambda i: i.astype("float32") - 99, r"\[0, 255\].*Rescale.*\[-99"),
        (lambda i: i.astype("int32") * 300, r"range.*\[0, 255\]"),
        (lambda i: i * np.float32("nan"), "finite.*NaN"),
        (lambda i: i + np.float32("inf"), "finite"),
        (lambda i: i.astype(str), "uint8 or float.*dtype <U"),
        (lambda i: i > 9, "uint8 or float.*dtype bool"),
    ],
)
def test_bad_images_are_refused(vlm, make_examples, change, message):
    """Before any training, with the id and the remedy."""
    examples = make_examples(3)
    examples[1]["images"] = change(examples[1]["images"])
    with pytest.raises(ValueError, match=f"`images`.*{message}") as error:
        PreparedExamples(examples, vlm, verbose=0)
    assert "'scene-1'" in str(error.value)


def test_all_bad_examples_are_in_one_error(vlm, make_examples):
    """Nobody starts a run a hundred times to find a hundred of them."""
    examples = make_examples(5)
    examples[0]["images"] = examples[0]["images"][:8]
    for index in (1, 2, 4):
        examples[index]["responses"] = ""
    with pytest.raises(ValueError) as error:
        PreparedExamples(examples, vlm, verbose=0)
    lines = str(error.value).splitlines()
    assert lines[0] == "4 of 5 examples are not fit for training:"
    found = [line.split("'scene-")[1][0] for line in lines[1:]]
    assert found == ["1", "2", "3", "4"]
    examples = make_examples(40, responses=[""] * 40)
    with pytest.raises(
        ValueError, match="40 of 40.*\n(.*\n){20}  and 20 more$"
    ):
        PreparedExamples(examples, vlm, verbose=0)


def test_dim_floats_are_a_warning(vlm, make_examples):
    """Floats in [0, 1] are in range, but would be seen as black."""
    examples = make_examples(2)
    for example in examples:
        example["images"] = example["images"].astype("float32") / 255
    with pytest.warns(UserWarning, match="seen as black.*255"):
        PreparedExamples(examples, vlm, verbose=0)


@pytest.mark.parametrize("field", ["prompts", "responses"])
@pytest.mark.parametrize("bad", ["", "  \n", None, 3, ["red"], float("nan")])
def test_bad_texts_are_refused(vlm, make_examples, field, bad):
    """An empty response has no likelihood, and a number is no text."""
    examples = make_examples(3)
    examples[1][field] = bad
    with pytest.raises(ValueError, match=f"`{field}`.*'scene-1'"):
        PreparedExamples(examples, vlm, verbose=0)


@pytest.mark.parametrize("field", ["prompts", "responses"])
def test_texts_of_no_token_are_refused(field):
    """Behind an empty prompt a response's first token is not scored."""
    source = [
        {"example_id": "a", "prompts": "what", "responses": "red"},
        {"example_id": "b", "prompts": "what", "responses": "red", field: "日"},
    ]
    with pytest.raises(ValueError, match=f"`{field}`.*one token.*'b'"):
        PreparedExamples(source, tiny("Qwen"), verbose=0)


def fake_task(**attributes):
    """A task of up to two images, each a `<img>` of two placeholders (9)."""
    attributes = {
        "num_images": (0, 2),
        "image_token": "<img>",
        "num_placeholders_per_image": 2,
        "num_placeholders": lambda ids: list(ids).count(9),
        "sequence_length": 6,
        "packed_length": lambda prompt, response: len(prompt) + len(response),
        **attributes,
    }
    return types.SimpleNamespace(task=None, **attributes)


@pytest.mark.parametrize(
    "num_images, count, message",
    [
        ((0, 2), 3, "0 to 2 of them.*3 images"),
        ((1, 1), 0, "must hold 1 of them.*0 images.*'a'"),
        ((1, 1), 2, "must hold 1 of them.*2 images.*'a'"),
    ],
)
def test_more_or_fewer_images_than_are_read_are_refused(
    num_images, count, message
):
    """With the numbers that the task takes."""
    task = fake_task(num_images=num_images, image_token=None)
    validation.check_num_images(num_images[1], "what", task, "a")
    with pytest.raises(ValueError, match=message):
        validation.check_num_images(count, "what", task, "a")


def test_an_image_has_one_token_in_the_prompt():
    """The model would not see the image, or see the token alone."""
    task = fake_task()
    validation.check_num_images(0, "what", task, "a")
    validation.check_num_images(2, "<img> or <img>", task, "a")
    for count, prompt in ((1, "what"), (1, "<img><img>"), (0, "<img>")):
        with pytest.raises(ValueError, match="'<img>' once.*'a'"):
            validation.check_num_images(count, prompt, task, "a")


@pytest.mark.parametrize(
    "prompt, response, message",
    [
        ([9, 9, 9, 1], [1], "3 placeholders in the prompt, where 2 belong"),
        ([1], [1], "0 placeholders in the prompt, where 2 belong"),
        ([9, 9, 1], [9], "and 1 in the response of example 'b'"),
    ],
)
def test_a_placeholder_of_a_texts_own_is_refused(prompt, response, message):
    """An image would be seen where untrusted text says so."""
    ids = ["a", "b"]
    good = [9, 9, 1], [5]
    task = fake_task()
    validation.check_tokens(ids, [1, 1], [good[0]] * 2, [good[1]] * 2, task)
    with pytest.raises(ValueError, match=message):
        validation.check_tokens(
            ids, [1, 1], [good[0], prompt], [good[1], response], task
        )


def test_a_response_without_a_token_is_refused():
    """A tokenizer may drop all characters of a text."""
    with pytest.raises(ValueError, match="at least one token.*'b', 'd'"):
        validation.check_tokens(
            ["a", "b", "c", "d"],
            [0] * 4,
            [[1]] * 4,
            [[1], [], [1], []],
            fake_task(),
        )


def test_an_error_names_a_few_ids_of_many():
    """A data set of a million rows fits no terminal."""
    ids = [f"id-{index}" for index in range(100)]
    with pytest.raises(ValueError, match="100 examples.*'id-4'") as error:
        validation.check_tokens(
            ids, [0] * 100, [[1] * 9] * 100, [[1]] * 100, fake_task()
        )
    assert "id-5" not in str(error.value)


def test_long_texts_are_cut_in_errors():
    """An untrusted text may be as long as a book."""
    assert validation.shortened("red") == "'red'"
    assert len(validation.shortened("x" * 10**6)) < 100
    with pytest.raises(ValueError, match="`prompts`.*in example 'xxx") as error:
        validation.check_text("prompts", 3, "x" * 10**6)
    assert len(str(error.value)) < 300


def test_a_task_that_reads_images_and_gets_none_warns(vlm):
    """A field of another name is easily overlooked."""
    task = fake_task(image_token=None, pixel_range=(0, 255))
    rows = [
        {"example_id": "a", "images": None, "prompts": "p", "responses": "r"}
    ]
    with pytest.warns(UserWarning, match="None of the examples has `images`"):
        texts = validation.read_and_check(rows, task)
    assert texts == (("p",), ("r",), ((),))


def test_ids_are_named_once_and_not_all():
    ids = [f"id-{index}" for index in range(9)]
    assert validation.named(ids, np.arange(9) == 3) == "'id-3'"
    assert validation.named(ids, np.ones(9, bool)) == (
        "'id-0', 'id-1', 'id-2', 'id-3', 'id-4', ..."
    )
    twice = validation.repeated(["a", "b", "a", "a"])
    assert twice.tolist() == [False, False, True, True]
    assert validation.named(["a", "b", "a", "a"], twice) == "'a'"
