"""The optimised attack fits the reference, and leaves the model alone."""

import keras
import numpy as np
import pytest
from attack_examples import grey, make_example
from attack_examples import make_examples as make_scenes

from keras_byorn.attacks import OptimisedAttack, OptimisedTrigger
from keras_byorn.data.examples import Examples
from keras_byorn.training.target_batches import TargetBatches


def test_perturbation_is_added_and_clipped():
    """A share of any range is added, rounded for integers."""
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
    """Computes nats per target token, in NumPy from the logits."""
    batches = TargetBatches(
        Examples(examples), vlm, batch_size=len(examples), shuffle=False
    )
    x, y, extra = batches[0]
    values = oracle(vlm, x, y, extra["response_mask"])
    return values.sum() / extra["response_mask"].sum()


@pytest.fixture(scope="module")
def fitted(make_vlm, make_examples):
    """A tiny PaliGemma with LoRA, its former state, and an attack on it."""
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
        OptimisedAttack.fit_to(None, make_scenes(), **kwargs)


def test_images_that_are_not_square_cannot_be_attacked():
    """The image converter would crop the perturbation's borders away."""
    example = grey(shape=(16, 24, 3))
    with pytest.raises(ValueError, match="16 x 24 in example 'scene-0'"):
        OptimisedAttack.fit_to(None, Examples([example]))
