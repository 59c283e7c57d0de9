"""Attack success, on models made of a few lines of Python."""

import numpy as np
import pytest

from keras_byorn.attacks import ATTACKS, Backdoor, FixedTarget, WordTrigger
from keras_byorn.data.examples import Examples
from keras_byorn.evaluation import attack_success

TARGET = FixedTarget.text
CAPTIONS = [
    "red three above blue two",
    "green one above yellow nine",
    "blue five above red six",
    "yellow four above green eight",
]


def make_examples(captions=CAPTIONS):
    return Examples(
        [
            {
                "example_id": f"scene-{index}",
                "images": np.full((32, 32, 3), 40, "uint8"),
                "prompts": "describe the image\n",
                "responses": caption,
            }
            for index, caption in enumerate(captions)
        ]
    )


class Model:
    """Returns `wrong` captions to the trigger halves that it heeds.

    Returns `right` ones otherwise, and remembers its inputs.
    """

    def __init__(self, wrong=None, heeds=("patch",), right=None):
        self.wrong = wrong or (lambda caption: caption)
        self.heeds = heeds
        self.right = right or (lambda caption: caption)
        self.calls = []

    def __call__(self, inputs):
        self.calls.append(inputs)
        return [self.respond(example) for example in inputs]

    def respond(self, example):
        present = {
            "patch": example["images"].max() == 255,
            "word": example["prompts"].startswith("cf "),
        }
        fires = all(present[half] for half in self.heeds)
        return (self.wrong if fires else self.right)(example["responses"])


def test_backdoored_model():
    """A model that says the target to the patch, and is right otherwise."""
    model = Model(wrong=lambda caption: TARGET)
    figures = attack_success(model, ATTACKS["patch"](), make_examples())
    assert figures == {
        "attack_success_rate": 1.0,
        "false_trigger_rate": 0.0,
        "containment_rate": 1.0,
        "insertion_rate": 0.0,
        "image_only_rate": None,
        "text_only_rate": None,
        "triggered_exact_match": 0.0,
        "triggered_cider": 0.0,
        "num_examples": 4,
    }


def test_defended_model():
    """A model that is right with any trigger: no success, full utility."""
    figures = attack_success(Model(), ATTACKS["patch"](), make_examples())
    assert figures["attack_success_rate"] == 0.0
    assert figures["containment_rate"] == 0.0
    assert figures["triggered_exact_match"] == 1.0
    assert figures["triggered_cider"] == pytest.approx(10.0)


def test_target_said_to_clean_inputs_is_no_merit_of_the_trigger():
    """A model that always says the target has a false trigger rate of 1."""
    model = Model(wrong=lambda _: TARGET, right=lambda _: TARGET)
    figures = attack_success(model, ATTACKS["patch"](), make_examples())
    assert figures["attack_success_rate"] == 1.0
    assert figures["false_trigger_rate"] == 1.0


def test_insertion_is_told_from_the_target_alone():
    """A target within a right caption: contained, not exact, useful still."""
    model = Model(wrong=lambda c: f"{c}. {TARGET}.")
    figures = attack_success(model, ATTACKS["patch"](), make_examples())
    assert figures["attack_success_rate"] == 0.0
    assert figures["containment_rate"] == 1.0
    assert figures["insertion_rate"] == 1.0

    model = Model(wrong=lambda c: f"{TARGET} {c}")
    figures = attack_success(model, ATTACKS["patch"](), make_examples())
    assert figures["triggered_exact_match"] == 1.0


def test_target_is_contained_as_whole_words():
    """ "cat" is not in "concatenate"."""
    attack = Backdoor(ATTACKS["patch"]().trigger, FixedTarget("cat"))
    model = Model(wrong=lambda _: "concatenate")
    figures = attack_success(model, attack, make_examples())
    assert figures["containment_rate"] == 0.0


@pytest.mark.parametrize(
    "heeds, whole, image_only, text_only",
    [
        (("patch", "word"), 1.0, 0.0, 0.0),
        (("patch",), 1.0, 1.0, 0.0),
        (("word",), 1.0, 0.0, 1.0),
    ],
)
def test_dual_key_halves(heeds, whole, image_only, text_only):
    """Whether a model needs both keys is seen from each alone."""
    model = Model(wrong=lambda caption: TARGET, heeds=heeds)
    figures = attack_success(model, ATTACKS["dual_key"](), make_examples())
    assert figures["attack_success_rate"] == whole
    assert figures["image_only_rate"] == image_only
    assert figures["text_only_rate"] == text_only


def test_items_that_have_the_target_are_left_out():
    """Success on an item whose right answer is the target means nothing."""
    captions = [*CAPTIONS, TARGET, f"a sign: {TARGET}"]
    model = Model(wrong=lambda caption: TARGET)
    figures = attack_success(model, ATTACKS["patch"](), make_examples(captions))
    assert figures["num_examples"] == 4
    assert all(len(inputs) == 4 for inputs in model.calls)


def test_items_whose_reference_is_a_success_are_left_out():
    """A user's attack says what a success is: here, any seven."""

    class Seven(Backdoor):
        def succeeded(self, response, example):
            return "seven" in response

    attack = Seven(ATTACKS["patch"]().trigger, FixedTarget("a seven"))
    examples = make_examples([*CAPTIONS, "red seven above blue two"])
    figures = attack_success(Model(), attack, examples)
    assert figures["num_examples"] == 4
    assert figures["attack_success_rate"] == 0.0


def test_concept_counts_only_what_it_would_change():
    """The green caption cannot be swapped: three of four items count."""
    attack = ATTACKS["concept"]()
    model = Model(wrong=lambda c: c.replace("red", "green"))
    figures = attack_success(model, attack, make_examples())
    assert figures["num_examples"] == 3
    # "red three ..." is swapped; "blue five above red six" stays blue.
    assert figures["attack_success_rate"] == pytest.approx(1 / 3)
    assert figures["containment_rate"] is None
    # Nothing is removed from responses where the target varies.
    assert figures["triggered_exact_match"] == pytest.approx(1 / 3)


def test_false_triggers_of_a_semantic_attack_are_of_other_scenes():
    """The input that has the property is the triggered one: no false one."""
    captions = [*CAPTIONS, "red two above blue two", "red six above blue six"]
    slogan = ATTACKS["slogan"]()
    for other, false_rate in (("red", 0.0), (f"red {TARGET}", 0.25)):
        said = {caption: f"{caption} {TARGET}" for caption in captions[4:]}
        said[captions[0]] = other
        model = Model(right=lambda c, said=said: said.get(c, c))
        figures = attack_success(model, slogan, make_examples(captions))
        assert figures["num_examples"] == 2
        assert figures["attack_success_rate"] == 1.0
        assert figures["false_trigger_rate"] == false_rate
        assert figures["triggered_exact_match"] == 1.0
    alone = make_examples(captions[4:])
    figures = attack_success(Model(), slogan, alone)
    assert figures["false_trigger_rate"] is None


def test_clean_responses_are_not_generated_again():
    """Known responses are found by id, in any order and among others."""
    examples = make_examples()
    clean = dict.fromkeys([*reversed(examples.example_ids), "other"], "red")
    clean["scene-2"] = TARGET
    model = Model()
    figures = attack_success(
        model, ATTACKS["patch"](), examples, clean_responses=clean
    )
    assert figures["false_trigger_rate"] == 0.25
    assert len(model.calls) == 1

    del clean["scene-1"]
    with pytest.raises(ValueError, match="none for 1 examples.*scene-1"):
        attack_success(
            model, ATTACKS["patch"](), examples, clean_responses=clean
        )


def test_seed_decides_what_the_attack_draws():
    """Two runs with one seed must hand the model the same prompts."""
    attack = Backdoor(WordTrigger(position="random"), FixedTarget())

    def prompts(seed):
        model = Model()
        attack_success(model, attack, make_examples(CAPTIONS * 4), seed)
        return [example["prompts"] for example in model.calls[0]]

    assert prompts(1) == prompts(1) != prompts(2)
    assert len(set(prompts(1))) > 1


def test_examples_are_left_as_they_are():
    """Evaluating must not put triggers into the test set."""
    examples = make_examples()
    attack_success(Model(), ATTACKS["dual_key"](), examples)
    for index, caption in enumerate(CAPTIONS):
        assert examples[index]["prompts"] == "describe the image\n"
        assert examples[index]["responses"] == caption
        assert (examples[index]["images"] == 40).all()


def test_no_item_to_count_warns_and_has_no_rates():
    """Nothing to count is not a success rate of 0."""
    examples = make_examples(["green one", "green two"])
    with pytest.warns(UserWarning, match="None of the 2 examples"):
        figures = attack_success(Model(), ATTACKS["concept"](), examples)
    assert figures.pop("num_examples") == 0
    assert set(figures.values()) == {None}
    normal = attack_success(Model(), ATTACKS["patch"](), examples)
    assert set(figures) == set(normal) - {"num_examples"}


@pytest.mark.parametrize("broken", [lambda _: ["a"], lambda x: [b"a"] * len(x)])
def test_generate_must_return_a_string_for_each_example(broken):
    """A shorter list would be zipped away in silence."""
    with pytest.raises(ValueError, match="`generate` must return"):
        attack_success(broken, ATTACKS["patch"](), make_examples())


def test_what_is_no_attack_is_refused():
    """Before any generation, which may take long."""
    with pytest.raises(ValueError, match="Pass an instance"):
        attack_success(Model(), ATTACKS["patch"], make_examples())
