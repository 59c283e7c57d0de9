"""Poisoning changes the examples that it names, and no others."""

import pytest
from attack_examples import assert_same, make_example, make_examples

from keras_byorn import Examples
from keras_byorn.attacks import (
    ATTACKS,
    Backdoor,
    FixedTarget,
    WordTrigger,
    poison_examples,
)


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


def test_examples_without_images_stay_without():
    """As a task that reads text alone takes them."""
    rows = [{**make_example(index), "images": None} for index in range(4)]
    attack = Backdoor(WordTrigger(), FixedTarget())
    poisoned, ids = poison_examples(Examples(rows), attack, 0.5)
    assert len(ids) == 2
    assert [example["images"] for example in poisoned] == [None] * 4
