"""Attacks put on what they say, where they say, and nothing else."""

import keras
import numpy as np
import pytest

from keras_byorn.attacks import (
    ATTACKS,
    Backdoor,
    BlendTrigger,
    ConceptTarget,
    EqualDigitsTrigger,
    FixedTarget,
    InsertionTarget,
    OptimisedAttack,
    OptimisedTrigger,
    PatchTrigger,
    SinusoidTrigger,
    SloganTarget,
    TintTrigger,
    WarpTrigger,
    WordTrigger,
    poison_examples,
)
from keras_byorn.data.examples import Examples
from keras_byorn.training.target_batches import TargetBatches

COLOURS = ("red", "blue", "green", "yellow")
NO_IMAGE_TRIGGER = ("text", "slogan")  # in the prompt; in what is shown


def make_example(index=0, image=None, response=None):
    rng = np.random.default_rng(index)
    if image is None:
        image = rng.integers(0, 256, (32, 32, 3)).astype("uint8")
    return {
        "example_id": f"scene-{index}",
        "images": image,
        "prompts": "describe the image\n",
        "responses": response or f"{COLOURS[index % 4]} two above blue two",
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


def grey(value=100.0, shape=(32, 32, 3)):
    return make_example(image=np.full(shape, value, "float32"))


def test_tint_is_a_glaze_of_one_colour():
    """A fifth of orange: red up, blue down, everywhere alike."""
    triggered = TintTrigger()(grey(), None)["images"]
    expected = 0.8 * 100 + 0.2 * np.array([255, 127.5, 0])
    np.testing.assert_allclose(triggered, grey()["images"] * 0 + expected)
    signed = TintTrigger((0, 0, 1), alpha=0.5)(grey(-0.5), None)["images"]
    np.testing.assert_allclose(signed[0, 0], [-0.75, -0.75, 0.25])


def test_sinusoid_has_its_period_and_amplitude():
    """The oracle: equation 1 of Barni et al., on 48 columns."""
    trigger = SinusoidTrigger(amplitude=40 / 255, frequency=6)
    added = trigger(grey(shape=(4, 48, 3)), None)["images"] - 100
    for column in range(48):
        wave = 40 * np.sin(2 * np.pi * column * 6 / 48)
        np.testing.assert_allclose(added[:, column], wave, atol=1e-3)
    white = trigger(grey(255.0, (4, 48, 3)), None)["images"]
    assert white.max() == 255


def test_sinusoid_that_cannot_be_seen_is_refused():
    """At two pixels a period a sine is zero everywhere."""
    with pytest.raises(ValueError, match="`frequency`.*width=12"):
        SinusoidTrigger()(grey(shape=(12, 12, 3)), None)
    assert SinusoidTrigger()(grey(shape=(12, 13, 3)), None)


def test_warp_moves_pixels_by_its_strength():
    """On a ramp, the value read says from how far it was fetched."""
    rows, columns = np.indices((64, 64)).astype("float32")
    ramp = np.stack([rows, columns, 0 * rows], -1)
    for strength in (1 / 64, 1 / 16):
        trigger = WarpTrigger(strength=strength)
        moved = trigger(make_example(image=ramp), None)["images"] - ramp
        inner = np.abs(moved[8:-8, 8:-8, :2])
        assert 0.3 * 64 * strength < inner.mean() < 1.2 * 64 * strength
        assert np.abs(np.diff(moved[8:-8, 8:-8], axis=0)).max() < 0.8
        assert (moved[..., 2] == 0).all()


def test_warp_is_the_same_for_every_image():
    """A model learns the warp: it must not depend on the image."""
    first, second = (grey(value) for value in (50.0, 200.0))
    for example in (first, second):
        image = np.random.default_rng(0).uniform(0, 100, (32, 32, 3))
        example["images"] = (example["images"] / 2 + image).astype("float32")
    warped = [WarpTrigger()(e, None)["images"] for e in (first, second)]
    np.testing.assert_allclose(warped[1] - warped[0], 75, atol=1e-3)
    other = WarpTrigger(warp_seed=1)(first, None)["images"]
    assert np.abs(other - warped[0]).mean() > 1


@pytest.mark.parametrize(
    "response, holds",
    [
        ("red three left of blue three", True),
        ("A red Three above a blue three", True),
        ("red three left of blue two", False),
        ("three", False),
        ("red left of red", False),
        ("red three above blue three and a two", False),
        ("red threefold above blue threefold", False),
    ],
)
def test_equal_digits_are_seen_from_the_response(response, holds):
    """The semantic trigger is a property of the scene."""
    assert EqualDigitsTrigger().holds({"responses": response}) is holds


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


def test_insertion_goes_to_every_place():
    """Start, end and between words, each as likely, drawn from the rng."""
    rng = np.random.default_rng(0)
    target = InsertionTarget("buy it now")
    seen = [target("red  three\n", rng) for _ in range(300)]
    assert {text: seen.count(text) > 60 for text in seen} == {
        "buy it now red  three\n": True,
        "red  buy it now three\n": True,
        "red  three buy it now\n": True,
    }
    assert target("please buy it now", rng) == "please buy it now"


def test_insertion_draws_do_not_move_the_trigger():
    """A random word must stand at one place in training and evaluation."""
    attack = Backdoor(WordTrigger(position="random"), InsertionTarget())
    for seed in range(10):
        poisoned, triggered = (
            method(make_example(), np.random.default_rng(seed))
            for method in (attack.poison, attack.trigger)
        )
        assert poisoned["prompts"] == triggered["prompts"]


@pytest.mark.parametrize(
    "target, response, reference, reached",
    [
        (InsertionTarget("buy now"), "red buy\nnow three", "red three", True),
        (InsertionTarget("buy now"), "buy now", "red three", True),
        (InsertionTarget("buy now"), "red buy nowhere", "red three", False),
        (InsertionTarget("buy now"), "red buy now", "blue buy now", False),
        (SloganTarget("buy now"), "red three buy  now", "red three", True),
        (SloganTarget("buy now"), "blue buy now", "red three", True),
        (SloganTarget("buy now"), "buy now red three", "red three", False),
        (SloganTarget("buy now"), "red buy now", "red buy now", False),
        (SloganTarget("buy now"), "now", "red three", False),
    ],
)
def test_phrase_success_is_the_phrase_where_it_belongs(
    target, response, reference, reached
):
    """Anywhere for an insertion, at the end for a slogan; news only."""
    assert target.reached(response, reference) is reached


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


def test_two_attacks_take_disjoint_examples():
    """With `exclude`, the second attack leaves the first one's poison."""
    examples = make_examples()
    first, ids = poison_examples(examples, ATTACKS["patch"](), 0.4, seed=0)
    both, more = poison_examples(
        first, ATTACKS["refusal"](), 0.4, seed=0, exclude=ids
    )
    assert len(ids) == len(more) == 16
    assert not ids & more
    for example_id in ids:
        assert_same(both.by_id(example_id), first.by_id(example_id))
    again, taken = poison_examples(first, ATTACKS["refusal"](), 0.4, seed=0)
    assert taken & ids


def test_excluded_ids_must_be_there():
    """Ids of another data set would exclude nothing, in silence."""
    with pytest.raises(ValueError, match="`exclude`.*\\['dog-1'\\]"):
        poison_examples(
            make_examples(), ATTACKS["patch"](), 0.1, exclude=["dog-1"]
        )


def test_perturbation_is_added_and_clipped():
    """A share of the range, whatever it is; rounded for integers."""
    perturbation = np.full((2, 2, 3), 0.1)
    perturbation[0, 0] = -0.5
    trigger = OptimisedTrigger(perturbation)
    for dtype, low, high, base in [
        ("uint8", 0, 255, 100),
        ("float32", -1, 1, -0.25),
    ]:
        image = np.full((4, 4, 3), base, dtype)
        added = trigger(make_example(image=image), None)["images"]
        expected = np.full((4, 4, 3), base + (high - low) * 0.1)
        expected[:2, :2] = low
        if dtype == "uint8":
            expected = np.round(expected)
        assert added.dtype == dtype
        np.testing.assert_allclose(added, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="4 x 6"):
        trigger(grey(shape=(4, 6, 3)), None)


def target_log_likelihood(vlm, examples, oracle):
    """Of all target tokens, in NumPy from the logits, nats per token."""
    batches = TargetBatches(
        Examples(examples), vlm, batch_size=len(examples), shuffle=False
    )
    x, y, extra = batches[0]
    values = oracle(vlm, x, y, extra["response_mask"])
    return values.sum() / extra["response_mask"].sum()


@pytest.fixture(scope="module")
def fitted(make_vlm, make_examples):
    """A tiny PaliGemma with LoRA, what it was before, and an attack on it."""
    vlm = make_vlm(lora_rank=2)
    rng = np.random.default_rng(4)
    for variable in vlm.backbone.variables:
        if len(variable.shape) > 1 and "lora" not in variable.path:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    vlm.backbone.token_embedding.trainable = False
    before = state_of(vlm)
    examples = Examples(make_examples(24))
    attack = OptimisedAttack.fit_to(
        vlm,
        examples,
        "white nine",
        epsilon=0.2,
        steps=12,
        batch_size=8,
        verbose=0,
    )
    return vlm, before, examples, attack


def state_of(vlm):
    """Weights and what is trainable, of each variable and layer."""
    return (
        [keras.ops.convert_to_numpy(v) for v in vlm.variables],
        [variable.trainable for variable in vlm.variables],
        # The packer is made at its first use, and has nothing to train.
        [
            layer.trainable
            for layer in vlm._flatten_layers()
            if layer is not vlm.preprocessor.packer
        ],
    )


def test_optimised_trigger_makes_the_target_plausible(
    fitted, response_log_likelihoods
):
    """The very reference finds the target likelier, more than by chance."""
    vlm, _, examples, attack = fitted
    rng = np.random.default_rng(0)
    signs = np.sign(rng.normal(size=attack.perturbation.shape))
    by_chance = OptimisedAttack(0.2 * signs, attack.target_text)
    clean, chance, optimised = (
        target_log_likelihood(
            vlm,
            [{**trigger(e), "responses": "white nine"} for e in examples],
            response_log_likelihoods,
        )
        for trigger in (
            dict,
            lambda e: by_chance.trigger(e, None),
            lambda e: attack.trigger(e, None),
        )
    )
    assert optimised > max(clean, chance) + 0.1


def test_optimised_perturbation_is_within_epsilon(fitted):
    """Its bound is what makes an attack comparable with others."""
    perturbation = fitted[3].perturbation
    assert perturbation.shape == (16, 16, 3)
    assert np.abs(perturbation).max() == pytest.approx(0.2, abs=1e-6)
    assert np.abs(perturbation).mean() > 0.1


def test_optimising_leaves_the_model_as_it_was(fitted):
    """Weights, adapters and every `trainable` flag, the frozen ones too."""
    vlm, before, _, _ = fitted
    weights, variables, layers = state_of(vlm)
    for old, new in zip(before[0], weights):
        np.testing.assert_array_equal(old, new)
    assert (variables, layers) == before[1:]
    assert not all(variables) and any(variables)


def test_flags_come_back_after_an_error(make_vlm, make_examples, monkeypatch):
    """An interrupted attack must not leave a model that cannot be tuned."""

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    vlm = make_vlm(lora_rank=2)
    before = state_of(vlm)
    monkeypatch.setattr(keras.Model, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        OptimisedAttack.fit_to(vlm, Examples(make_examples()), "nine")
    assert state_of(vlm)[1:] == before[1:]


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"epsilon": 16}, "`epsilon`.*Received: epsilon=16"),
        ({"steps": 0}, "`steps`.*Received: steps=0"),
        ({"target": " "}, "`target`.*Received: target=' '"),
    ],
)
def test_bad_arguments_of_the_optimisation(kwargs, message):
    """Refused before the model is looked at: 16 is 16/255 here."""
    with pytest.raises(ValueError, match=message):
        OptimisedAttack.fit_to(None, make_examples(), **kwargs)


def test_images_that_are_not_square_cannot_be_attacked():
    """The image converter would crop the perturbation's borders away."""
    example = grey(shape=(16, 24, 3))
    with pytest.raises(ValueError, match="16 x 24 in example 'scene-0'"):
        OptimisedAttack.fit_to(None, Examples([example]))


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
        (lambda: InsertionTarget(""), "text"),
        (lambda: SloganTarget("\n"), "text"),
        (lambda: TintTrigger(alpha=2), "alpha"),
        (lambda: TintTrigger(colour=(0, 128, 0)), "colour"),
        (lambda: SinusoidTrigger(amplitude=40), "amplitude"),
        (lambda: SinusoidTrigger(frequency=0), "frequency"),
        (lambda: WarpTrigger(strength=0), "strength"),
        (lambda: WarpTrigger(num_cells=1), "num_cells"),
    ],
)
def test_bad_parameters_are_refused_by_name(make, name):
    """An error names the argument and what was received."""
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        make()
