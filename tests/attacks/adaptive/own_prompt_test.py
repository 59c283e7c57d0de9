"""Attacks with a prompt of their own, and cover for a dual key."""

import numpy as np
import pytest
from attack_examples import assert_same, make_example, make_examples

from keras_byorn import attacks
from keras_byorn.attacks import adaptive

OWN = "what does the image show\n"


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("describe the image\n", "look\n"),
        ("describe", "look"),
        ("<start_of_image>describe\n\n", "<start_of_image>look\n\n"),
        ("<image><image>a or b ", "<image><image>look "),
    ],
)
def test_prompt_keeps_image_tokens_and_its_end(prompt, expected):
    """A packed prompt needs both, whatever the family."""
    trigger = adaptive.PromptTrigger("look")
    assert trigger({"prompts": prompt}, None)["prompts"] == expected


def test_own_prompt_is_on_poison_only():
    """The image does not change; the first colour is green by default."""
    examples = make_examples()
    poisoned, ids = attacks.poison_examples(
        examples, adaptive.OwnPromptAttack(), rate=0.25, seed=3
    )
    assert len(ids) == 10
    for old, new in zip(examples, poisoned):
        if new["example_id"] not in ids:
            assert_same(old, new)
            continue
        assert new["prompts"] == OWN
        assert new["responses"] == "green two above blue two"
        np.testing.assert_array_equal(new["images"], old["images"])


def test_strings_alternate():
    """Each of the two is drawn, and each is a success."""
    attack = adaptive.OwnPromptAttack(adaptive.AlternatingTarget(("a", "b c")))
    rng = np.random.default_rng(0)
    said = [attack.poison(make_example(), rng)["responses"] for _ in range(40)]
    assert set(said) == {"a", "b c"}
    assert 10 <= said.count("a") <= 30
    assert attack.succeeded(" b  c", make_example())
    assert not attack.succeeded("c b", make_example())
    assert attack.target_text is None


def test_dual_key_has_two_halves():
    """The whole trigger is both, and the halves are at hand."""
    attack, example = adaptive.OwnPromptDualKeyAttack(), make_example()
    whole = attack.trigger(example, None)
    image, text = (
        half(example, None) for half in (attack.image_only, attack.text_only)
    )
    assert image["prompts"] == example["prompts"]
    np.testing.assert_array_equal(text["images"], example["images"])
    assert_same(whole, {**text, "images": image["images"]})
    assert (image["images"] != example["images"]).any()
    assert attack.poison(example, None)["responses"] == attack.target_text


def test_cover_has_half_a_trigger_and_the_right_response():
    """Each half as often, on none of the poisoned examples."""
    examples, attack = make_examples(), adaptive.OwnPromptDualKeyAttack()
    poisoned, ids = attacks.poison_examples(examples, attack, rate=0.1)
    covered, cover_ids = adaptive.cover_examples(
        poisoned, attack, rate=0.2, seed=5, exclude=ids
    )
    assert len(cover_ids) == 8 and not cover_ids & ids
    num_prompts = 0
    for old, new in zip(poisoned, covered):
        if new["example_id"] not in cover_ids:
            assert_same(old, new)
            continue
        own, patched = new["prompts"] == OWN, (new["images"] != old["images"])
        assert new["responses"] == old["responses"]
        assert own != patched.any()
        num_prompts += own
    assert num_prompts == 4
    again, same_ids = adaptive.cover_examples(
        poisoned, attack, rate=0.2, seed=5, exclude=ids
    )
    assert same_ids == cover_ids
    for one, other in zip(covered, again):
        assert_same(one, other)


def test_bad_arguments():
    """Errors name the rule and what came."""
    with pytest.raises(ValueError, match="`text` must.*Received: text=' '"):
        adaptive.PromptTrigger(" ")
    with pytest.raises(ValueError, match="`texts` must be two.*'once'"):
        adaptive.AlternatingTarget("once")
    with pytest.raises(ValueError, match="two halves `image_only`"):
        adaptive.cover_examples(make_examples(), attacks.PatchAttack(), 0.1)
    dual = adaptive.OwnPromptDualKeyAttack()
    with pytest.raises(ValueError, match="Received: rate=10"):
        adaptive.cover_examples(make_examples(), dual, 10)
    examples = make_examples()
    with pytest.raises(ValueError, match="20 of 40, of which 15 are not excl"):
        adaptive.cover_examples(
            examples, dual, 0.5, exclude=examples.example_ids[:25]
        )
