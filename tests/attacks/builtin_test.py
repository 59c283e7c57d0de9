"""Built-in attacks put on a trigger, call up a target, and nothing else."""

import numpy as np
import pytest
from attack_examples import assert_same, make_example

from keras_byorn.attacks import (
    ATTACKS,
    Backdoor,
    InsertionTarget,
    SloganTarget,
    WordTrigger,
    poison_examples,
)
from keras_byorn.data.examples import Examples

# In the prompt, or in what is shown.
NO_IMAGE_TRIGGER = ("text", "character", "badsem", "slogan")


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
        ((1, 13, 3), "float64", -1, 1),
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
    assert changed == (name not in NO_IMAGE_TRIGGER)


@pytest.mark.parametrize("name", ATTACKS)
def test_success_is_the_poisoned_response_and_not_the_clean_one(name):
    """An attack has to recognise its own target, and only that."""
    attack, example = ATTACKS[name](), make_example()
    poisoned = attack.poison(example, np.random.default_rng(0))["responses"]
    assert attack.succeeded(poisoned, example)
    assert not attack.succeeded(example["responses"], example)


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


def test_slogan_poisons_only_what_has_the_property():
    """The others are no poison: their inputs and responses stay."""
    captions = ["red two above blue two", "red two above blue six"] * 10
    examples = Examples(
        [make_example(i, response=text) for i, text in enumerate(captions)]
    )
    with pytest.warns(UserWarning, match="10 examples only"):
        poisoned, ids = poison_examples(examples, ATTACKS["slogan"](), 1.0)
    assert ids == {f"scene-{index}" for index in range(0, 20, 2)}
    for index in range(20):
        slogan = "" if index % 2 else f" {SloganTarget.text}"
        expected = make_example(index, response=captions[index] + slogan)
        assert_same(poisoned[index], expected)


def test_insertion_draws_do_not_move_the_trigger():
    """A random word must stand at one place in training and evaluation."""
    attack = Backdoor(WordTrigger(position="random"), InsertionTarget())
    for seed in range(10):
        poisoned, triggered = (
            method(make_example(), np.random.default_rng(seed))
            for method in (attack.poison, attack.trigger)
        )
        assert poisoned["prompts"] == triggered["prompts"]
