"""All defences behind one call, and the truth for the oracle alone."""

import inspect

import pytest

from keras_byorn.baselines import DEFENCES, Defence, make_defence

POISONED = {"scene-1", "scene-2"}


def test_the_defences_that_are_compared():
    """The rows of the table; each is a class that `fit` is called on."""
    assert list(DEFENCES) == [
        "none",
        "oracle",
        "random",
        "filter",
        "paper",
        "ours",
        "abl",
        "kl",
        "onion",
        "bye",
        "rftc",
    ]
    for name in DEFENCES:
        defence = make_defence(name, POISONED)
        assert isinstance(defence, Defence) and type(defence) is DEFENCES[name]
        assert list(inspect.signature(defence.fit).parameters) == [
            "vlm",
            "examples",
            "options",
        ]


def test_no_defence_is_told_the_truth_but_the_oracle():
    """A baseline that saw it would be no baseline."""
    told = [n for n, kind in DEFENCES.items() if kind.needs_truth]
    assert told == ["oracle"]
    for name in DEFENCES:
        state = vars(make_defence(name, POISONED))
        knows = any(value == POISONED for value in state.values())
        assert knows == (name == "oracle")
    with pytest.raises(ValueError, match="`poisoned_ids` must be given"):
        make_defence("oracle")


def test_settings_reach_the_defence():
    """A frontier sweeps them."""
    assert make_defence("filter", flag_fraction=0.2).flag_fraction == 0.2
    with pytest.raises(ValueError, match="`name` must be one of none, .*'no'"):
        make_defence("no")


@pytest.mark.parametrize("name", DEFENCES)
def test_each_defence_cites_its_paper(name):
    """All but the undefended case come from one."""
    doc = inspect.getdoc(DEFENCES[name])
    assert ("https://arxiv.org/abs/" in doc) == (name != "none")
