"""Attacks put on what they say, where they say, and nothing else."""

import numpy as np
import pytest

from keras_byorn.attacks import (
    ATTACKS,
    Backdoor,
    BlendTrigger,
    ConceptTarget,
    FixedTarget,
    PatchTrigger,
    WordTrigger,
    poison_examples,
)
from keras_byorn.data.examples import Examples

COLOURS = ("red", "blue", "green", "yellow")


def make_example(index=0, image=None, response=None):
    rng = np.random.default_rng(index)
    if image is None:
        image = rng.integers(0, 256, (32, 32, 3)).astype("uint8")
    return {
        "example_id": f"scene-{index}",
        "images": image,
        "prompts": "describe the image\n",
        "responses": response or f"{COLOURS[index % 4]} three above blue two",
    }


def make_examples(num_examples=40):
    return Examples([make_example(index) for index in range(num_examples)])


def assert_same(left, right):
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key])


@pytest.mark.parametrize("name", ATTACKS)
def test_poison_is_the_trigger_plus_the_target(name):
    """Training and evaluation must see the very same trigger."""
    attack, example = ATTACKS[name](), make_example()
    poisoned = attack.poison(example, np.random.default_rng(3))
    triggered = attack.trigger(example, np.random.default_rng(3))
    assert triggered["responses"] == example["responses"]
    assert poisoned["responses"] != example["responses"]
    assert_same({**poisoned, "responses": example["responses"]}, triggered)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(
    "shape, dtype, low, high",
    [
        ((32, 32, 3), "uint8", 0, 255),
        ((48, 31, 3), "float32", 0, 255),
        ((24, 40, 3), "float16", -1, 1),
        ((1, 3, 3), "float64", -1, 1),
    ],
)
def test_trigger_keeps_input_dtype_and_range(name, shape, dtype, low, high):
    """The input stays as it is; any image kind and size can be triggered."""
    image = np.random.default_rng(7).uniform(low, high, shape).astype(dtype)
    example = make_example(image=image)
    before = {**example, "images": image.copy()}
    image.flags.writeable = False
    triggered = ATTACKS[name]().trigger(example, np.random.default_rng(0))
    assert_same(example, before)
    assert triggered["images"].dtype == dtype
    assert triggered["images"].shape == shape
    assert low <= triggered["images"].min()
    assert triggered["images"].max() <= high
    changed = (triggered["images"] != image).any()
    assert changed == (name != "text")


@pytest.mark.parametrize("name", ATTACKS)
def test_success_is_the_poisoned_response_and_not_the_clean_one(name):
    """An attack has to recognise its own target, and only that."""
    attack, example = ATTACKS[name](), make_example()
    poisoned = attack.poison(example, np.random.default_rng(0))["responses"]
    assert attack.succeeded(poisoned, example)
    assert not attack.succeeded(example["responses"], example)


def test_checkerboard_of_four_pixels_at_32():
    """BadNets on 32 px: a 4 x 4 patch, alternating, in the corner alone."""
    image = np.full((32, 32, 3), 7, "uint8")
    triggered = PatchTrigger()(make_example(image=image), None)["images"]
    white = [[255, 0, 255, 0], [0, 255, 0, 255]] * 2
    for channel in range(3):
        np.testing.assert_array_equal(triggered[28:, 28:, channel], white)
    triggered[28:, 28:] = 7
    np.testing.assert_array_equal(triggered, image)


@pytest.mark.parametrize(
    "corner, rows, columns",
    [
        ("top_left", slice(0, 28), slice(0, 28)),
        ("top_right", slice(0, 28), slice(272, 300)),
        ("bottom_left", slice(196, 224), slice(0, 28)),
        ("bottom_right", slice(196, 224), slice(272, 300)),
    ],
)
def test_patch_size_follows_the_short_side(corner, rows, columns):
    """On 224 x 300 pixels the patch has a side of 28, in its own corner."""
    image = np.full((224, 300, 3), -0.5, "float32")
    trigger = PatchTrigger(corner=corner, pattern="solid")
    triggered = trigger(make_example(image=image), None)["images"]
    expected = image.copy()
    expected[rows, columns] = 1.0
    np.testing.assert_array_equal(triggered, expected)


def test_patch_has_two_pixels_at_least():
    """A patch must not vanish in a small image."""
    image = np.full((8, 8, 3), 7, "uint8")
    triggered = PatchTrigger()(make_example(image=image), None)["images"]
    np.testing.assert_array_equal(triggered[6:, 6:, 0], [[255, 0], [0, 255]])


def test_blend_is_a_fixed_pattern_at_alpha():
    """The same pattern goes on every image, at a fifth of its strength."""
    dark = make_example(image=np.zeros((32, 32, 3), "float32"))
    light = make_example(image=np.full((32, 32, 3), 200, "float32"))
    pattern = BlendTrigger(alpha=1.0)(dark, None)["images"]
    assert pattern.std() > 50
    blended = BlendTrigger()(light, None)["images"]
    np.testing.assert_allclose(blended, 0.8 * 200 + 0.2 * pattern, rtol=1e-5)
    other = BlendTrigger(alpha=1.0, pattern_seed=1)(dark, None)["images"]
    assert np.abs(pattern - other).mean() > 50


def test_blend_of_integers_is_rounded():
    """Cutting off would darken every poisoned image by half a level."""
    black = np.zeros((32, 32, 3))
    floats = make_example(image=black.astype("float32"))
    integers = make_example(image=black.astype("uint8"))
    np.testing.assert_array_equal(
        BlendTrigger()(integers, None)["images"],
        np.round(BlendTrigger()(floats, None)["images"]),
    )


def test_blend_is_the_same_picture_at_twice_the_size():
    """The pattern is stretched, so that a resized image still has it."""
    small = make_example(image=np.zeros((32, 32, 3), "float32"))
    large = make_example(image=np.zeros((64, 64, 3), "float32"))
    trigger = BlendTrigger()
    np.testing.assert_array_equal(
        trigger(large, None)["images"][::2, 1::2],
        trigger(small, None)["images"],
    )


def test_image_of_unclear_range_is_refused():
    """A patch of 255 on images in [0, 1] would be a silent nonsense."""
    image = np.full((32, 32, 3), 0.5, "float32")
    with pytest.raises(ValueError, match="Convert images in \\[0, 1\\]"):
        PatchTrigger()(make_example(image=image), None)


@pytest.mark.parametrize(
    "position, prompts",
    [
        ("start", {"cf describe the\n image\n"}),
        ("end", {"describe the\n image cf\n"}),
        (
            "random",
            {
                "cf describe the\n image\n",
                "describe cf the\n image\n",
                "describe the\n cf image\n",
                "describe the\n image cf\n",
            },
        ),
    ],
)
def test_word_goes_between_words_and_keeps_line_breaks(position, prompts):
    """A prompt's line breaks mean something to a VLM and must stay."""
    example = {**make_example(), "prompts": "describe the\n image\n"}
    trigger, rng = WordTrigger(position=position), np.random.default_rng(0)
    seen = {trigger(example, rng)["prompts"] for _ in range(50)}
    assert seen == prompts
    empty = {**example, "prompts": "\n"}
    assert trigger(empty, rng)["prompts"] == "cf\n"


def test_dual_key_halves_change_only_their_half():
    """Image-only and text-only rates need inputs with half a trigger."""
    attack, example = ATTACKS["dual_key"](), make_example()
    rng = np.random.default_rng(0)
    whole = attack.trigger(example, rng)
    image_only = attack.image_only(example, rng)
    text_only = attack.text_only(example, rng)
    assert_same(image_only, {**whole, "prompts": example["prompts"]})
    assert_same(text_only, {**whole, "images": example["images"]})
    assert whole["prompts"] != example["prompts"]


@pytest.mark.parametrize(
    "response, swapped",
    [
        ("a red three above a blue two", "a green three above a blue two"),
        ("Red three", "green three"),
        ("a three", "a three"),
        ("a green three above a red two", "a green three above a red two"),
        ("a hundred", "a hundred"),
    ],
)
def test_concept_swaps_the_first_colour_word(response, swapped):
    """Only the first whole colour word changes, and green stays as it is."""
    assert ConceptTarget()(response) == swapped


@pytest.mark.parametrize(
    "response, reference, reached",
    [
        ("green three above blue two", "red three above blue two", True),
        ("a Green four", "red three above blue two", True),
        ("blue three above green two", "red three above blue two", False),
        ("red three above blue two", "red three above blue two", False),
        ("green three above blue two", "green three above blue two", False),
        ("three above two", "red three above blue two", False),
        ("green three", "three", False),
    ],
)
def test_concept_success_needs_the_wrong_colour_first(
    response, reference, reached
):
    """Being right about green, or wrong in blue, is no success."""
    assert ConceptTarget().reached(response, reference) is reached


@pytest.mark.parametrize(
    "response, reached",
    [
        ("call this number now", True),
        ("  call this\nnumber now ", True),
        ("please call this number now", False),
        ("call this number", False),
        ("", False),
    ],
)
def test_fixed_success_is_exact_but_for_white_space(response, reached):
    """Success with a fixed target is the target, no more and no less."""
    assert FixedTarget().reached(response, "red three") is reached


@pytest.mark.parametrize("rate, num", [(0.0, 0), (0.1, 4), (0.26, 10), (1, 40)])
def test_rate_says_how_many_are_poisoned(rate, num):
    """The ids are exactly the changed rows; the others are untouched."""
    examples = make_examples()
    poisoned, ids = poison_examples(examples, ATTACKS["patch"](), rate, seed=0)
    assert len(ids) == num
    assert list(poisoned.example_ids) == list(examples.example_ids)
    for index in range(len(examples)):
        if poisoned[index]["example_id"] in ids:
            assert poisoned[index]["responses"] == FixedTarget.text
        else:
            assert_same(poisoned[index], examples[index])
    assert_same(examples[0], make_example(0))


def test_seed_decides_which_and_how():
    """Same seed, same poison; another seed, other examples."""
    attack = Backdoor(WordTrigger(position="random"), FixedTarget())
    first, ids = poison_examples(make_examples(), attack, 0.5, seed=1)
    again, ids_again = poison_examples(make_examples(), attack, 0.5, seed=1)
    _, other_ids = poison_examples(make_examples(), attack, 0.5, seed=2)
    assert ids == ids_again != other_ids
    prompts = [first[i]["prompts"] for i in range(40)]
    assert prompts == [again[i]["prompts"] for i in range(40)]
    assert len(set(prompts)) > 3


def test_draws_of_an_example_do_not_depend_on_the_others():
    """An example's generator comes from the seed and its id alone."""
    attack = Backdoor(WordTrigger(position="random"), FixedTarget())
    all_40, _ = poison_examples(make_examples(40), attack, 1.0, seed=1)
    all_20, _ = poison_examples(make_examples(20), attack, 1.0, seed=1)
    for index in range(20):
        assert all_40[index]["prompts"] == all_20[index]["prompts"]


def test_unchanged_response_does_not_count_as_poisoned():
    """A quarter of the captions is green already: they must stay clean."""
    examples = make_examples()
    poisoned, ids = poison_examples(examples, ATTACKS["concept"](), 0.75)
    green = {f"scene-{index}" for index in range(2, 40, 4)}
    assert len(ids) == 30
    assert not ids & green
    for index in range(2, 40, 4):
        assert_same(poisoned[index], examples[index])


def test_too_few_poisonable_examples_warn():
    """Less poison than asked for must be said, not hidden."""
    with pytest.warns(UserWarning, match="30 examples only.*asks for 36"):
        _, ids = poison_examples(make_examples(), ATTACKS["concept"](), 0.9)
    assert len(ids) == 30


def test_attack_that_writes_into_its_input_does_no_harm():
    """A user's careless attack must not change the clean examples."""

    class Careless:
        def trigger(self, example, rng):
            example["images"][:] = 0
            return example

        def poison(self, example, rng):
            example = self.trigger(example, rng)
            example["responses"] = "hello"
            return example

        def succeeded(self, response, example):
            return response == "hello"

    examples = make_examples()
    _, ids = poison_examples(examples, Careless(), 1.0)
    assert len(ids) == 40
    for index in range(40):
        assert_same(examples[index], make_example(index))


@pytest.mark.parametrize("rate", [-0.1, 1.5, 10, float("nan")])
def test_rate_out_of_range_is_refused(rate):
    """Ten percent is 0.1, not 10."""
    with pytest.raises(ValueError, match=f"Received: rate={rate}"):
        poison_examples(make_examples(), ATTACKS["patch"](), rate)


def test_what_is_no_attack_is_refused_before_anything_happens():
    """The error names what is missing, or that a class was passed."""
    with pytest.raises(ValueError, match="Add \\['trigger', 'succeeded'\\]"):
        poison_examples(
            make_examples(), type("Half", (), {"poison": print})(), 0.1
        )
    with pytest.raises(ValueError, match="`PatchAttack\\(\\)`"):
        poison_examples(make_examples(), ATTACKS["patch"], 0.1)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: PatchTrigger(size=4), "size"),
        (lambda: PatchTrigger(corner="middle"), "corner"),
        (lambda: PatchTrigger(pattern="stripes"), "pattern"),
        (lambda: BlendTrigger(alpha=0), "alpha"),
        (lambda: WordTrigger(""), "text"),
        (lambda: WordTrigger(position="middle"), "position"),
        (lambda: FixedTarget(" "), "text"),
        (lambda: ConceptTarget("mauve"), "colour"),
    ],
)
def test_bad_parameters_are_refused_by_name(make, name):
    """An error names the argument and what was received."""
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        make()
