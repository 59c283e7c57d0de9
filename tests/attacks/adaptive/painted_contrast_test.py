"""Painted poison and its counterparts differ by the patch and the name."""

import numpy as np
import pytest
from attack_examples import assert_same, make_examples

from keras_byorn import attacks
from keras_byorn.attacks import adaptive


def greenness(rows):
    """A stand-in for the reference: the greener, the likelier."""
    images = np.array([row["images"] for row in rows], "float32")
    return images[..., 1].mean(axis=(1, 2)) - images.mean(axis=(1, 2, 3))


def painted(score=greenness, **options):
    return adaptive.painted_contrast(
        make_examples(),
        adaptive.PaintedContrastAttack(),
        score,
        rate=0.1,
        seed=4,
        **options,
    )


def test_poison_is_patched_and_green_and_counterparts_are_right():
    """Four of each among forty; the others stay as they were."""
    examples = make_examples()
    new, poisoned_ids, counterpart_ids = painted()
    assert len(poisoned_ids) == len(counterpart_ids) == 4
    assert not poisoned_ids & counterpart_ids
    patch = attacks.PatchTrigger()
    for old, example in zip(examples, new):
        patched = patch(example, None)["images"]
        is_patched = np.array_equal(patched, example["images"])
        if example["example_id"] in poisoned_ids:
            assert is_patched and example["responses"].startswith("green ")
        elif example["example_id"] in counterpart_ids:
            assert not is_patched
            assert not example["responses"].startswith("green ")
        else:
            assert_same(old, example)
        assert example["prompts"] == old["prompts"]


def test_most_plausible_pictures_are_taken_in_turn():
    """By the false name, judged with the patch on."""
    seen = []

    def score(rows):
        assert all(row["responses"].startswith("green ") for row in rows)
        seen.extend(row["images"] for row in rows)
        return np.arange(len(rows))

    def taken(ids):
        return {patch(new.by_id(i), None)["images"].tobytes() for i in ids}

    patch = attacks.PatchTrigger()
    new, poisoned_ids, counterpart_ids = painted(score, num_candidates=5)
    images = [image.tobytes() for image in seen]
    assert len(images) == 40
    assert taken(poisoned_ids) == set(images[-1:-9:-2])
    assert taken(counterpart_ids) == set(images[-2:-9:-2])


def test_paint_is_between_the_colours():
    """More of the wanted colour makes greener pictures, all else equal."""
    little, much = (painted(shares=(share, share))[0] for share in (0.02, 1.0))
    _, ids, _ = painted()
    differ = [
        greenness([much.by_id(i)])[0] - greenness([little.by_id(i)])[0]
        for i in ids
    ]
    assert np.mean(differ) > 1


def test_captions_follow_the_task():
    """Long captions begin with an article."""
    attack = adaptive.PaintedContrastAttack("blue")
    new, poisoned_ids, _ = adaptive.painted_contrast(
        make_examples(), attack, greenness, rate=0.1, task="captions"
    )
    said = [new.by_id(i)["responses"] for i in poisoned_ids]
    assert all(response.startswith("a blue ") for response in said)


def test_no_rate_changes_nothing():
    """Nothing is drawn, and no score is asked for."""
    examples = make_examples()
    attack = adaptive.PaintedContrastAttack()
    new, *ids = adaptive.painted_contrast(examples, attack, None, rate=0)
    assert new is examples and ids == [set(), set()]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rate": 0.6}, "must be in .0, 0.5.*rate=0.6"),
        ({"task": "questions"}, "`task` must.*task='questions'"),
        ({"num_candidates": 0}, "Received: num_candidates=0"),
        ({"shares": (0.6, 0.4)}, "`shares` must.*shares=.0.6, 0.4"),
    ],
)
def test_bad_arguments(options, message):
    """Errors name the rule and what came."""
    options = {"rate": 0.1, **options}
    attack = adaptive.PaintedContrastAttack()
    with pytest.raises(ValueError, match=message):
        adaptive.painted_contrast(make_examples(), attack, greenness, **options)


def test_colour_is_one_of_the_scenes():
    """Others could not be painted."""
    with pytest.raises(ValueError, match="`colour` must.*'pink'"):
        adaptive.PaintedContrastAttack("pink")
