"""Clean-label noise moves an image inside, within its bound, and no caption."""

import keras
import numpy as np
import pytest
from attack_examples import assert_same, make_example

from keras_byorn.attacks import CleanLabelAttack, clean_label_examples
from keras_byorn.data.examples import Examples
from keras_byorn.evaluation import attack_success
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models import TINY

SIZE = 16


def examples():
    """Sixteen images, a quarter of them of each of these captions."""
    texts = ["a dog", "two cats", "a dog and a cat", "a bird"]
    rng = np.random.default_rng(0)
    return Examples(
        [
            {
                **make_example(
                    index,
                    rng.integers(60, 200, (SIZE, SIZE, 3)).astype("uint8"),
                ),
                "responses": texts[index % 4],
            }
            for index in range(16)
        ]
    )


def test_a_concept_is_shown_alone():
    """With both in it, an image is of neither."""
    attack = CleanLabelAttack()
    shown = [
        [attack.shows(example, concept) for concept in ("dog", "cat")]
        for example in examples()
    ]
    assert shown[:4] == [[True, False], [False, True]] + [[False, False]] * 2


@pytest.mark.parametrize("name", ["PaliGemma", "Gemma 3"])
def test_poison_encodes_as_the_other_concept(name):
    """Nearer its pair than before; captions and all others stay."""
    vlm = TINY[name]()
    flags = [v.trainable for v in vlm.variables]
    before = [keras.ops.convert_to_numpy(v) for v in vlm.variables]
    clean, attack = examples(), CleanLabelAttack()
    poisoned, ids = clean_label_examples(
        clean, attack, vlm, rate=0.125, epsilon=0.1, steps=20, seed=1
    )
    assert len(ids) == 2
    task = VisionLanguageTask(vlm)
    vision = task.family.vision(vlm)
    dogs = [e["images"] for e in clean if e["responses"] == "a dog"]
    wanted = task.encode_images(vision, dogs)
    for new, old in zip(poisoned, clean):
        if new["example_id"] not in ids:
            assert_same(new, old)
            continue
        assert new["responses"] == old["responses"] == "two cats"
        assert new["images"].dtype == "uint8"
        change = new["images"].astype(int) - old["images"]
        assert 0 < np.abs(change).max() <= round(0.1 * 255)
        distances = [
            np.square(task.encode_images(vision, [e["images"]]) - wanted)
            .mean(axis=(1, 2))
            .min()
            for e in (new, old)
        ]
        assert distances[0] < distances[1]
    assert [v.trainable for v in vlm.variables] == flags
    for value, variable in zip(before, vlm.variables):
        np.testing.assert_array_equal(value, variable)


def test_success_is_on_clean_images():
    """No trigger: other images are those that must not be mistaken."""
    attack = CleanLabelAttack()

    def mistaken(batch):
        return [e["responses"].replace("dog", "cat") for e in batch]

    figures = attack_success(mistaken, attack, examples())
    assert figures["num_examples"] == 4
    assert figures["attack_success_rate"] == 1.0
    assert figures["false_trigger_rate"] == 0.0

    def right(batch):
        return [e["responses"] for e in batch]

    figures = attack_success(right, attack, examples())
    assert figures["attack_success_rate"] == 0.0


def test_too_few_images_and_no_tower_are_refused(vlm):
    with pytest.raises(ValueError, match="10 examples, where 4 show 'cat'"):
        clean_label_examples(examples(), CleanLabelAttack(), vlm, rate=10 / 16)
    with pytest.raises(ValueError, match="must have a vision tower"):
        clean_label_examples(
            examples(), CleanLabelAttack(), TINY["Gemma"](), rate=0.1
        )
