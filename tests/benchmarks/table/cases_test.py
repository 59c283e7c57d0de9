"""Cases make their data, with the ground truth apart."""

import numpy as np
import pytest
from table import cases
from table.cases import CASES

KINDS = ("poisoned", "flood", "cover", "minority", "noise", "trusted")
# Examples of forty in each of `KINDS`.
COUNTS = {
    "patch 10 %": (4, 0, 0, 0, 0, 0),
    "patch+concept": (4, 0, 0, 0, 0, 0),
    "clean terse_captions": (0, 0, 0, 0, 0, 0),
    "own prompt, concept, 10 %": (4, 0, 0, 0, 0, 0),
    "own prompt, dual key with cover, 10 %": (4, 0, 4, 0, 0, 0),
    "flood of gibberish, 35 %": (4, 14, 0, 0, 0, 22),
    "flood of near misses, 55 %": (4, 22, 0, 0, 0, 14),
    "painted contrast": (4, 0, 4, 0, 0, 0),
    "invisible copies": (4, 0, 0, 0, 0, 0),
    "minority prefix, 5 %, own prompt": (0, 0, 0, 2, 0, 2),
    "minority upper case, 10 %, shared prompt": (0, 0, 0, 4, 0, 4),
    "noise of words, 10 %": (0, 0, 0, 0, 4, 0),
}


@pytest.fixture(scope="module")
def source(make_source):
    source = make_source()
    # The order of candidates, in the place of the pretrained model.
    source.score = lambda rows: np.arange(len(rows))
    return source


@pytest.mark.parametrize("name", COUNTS)
def test_data_of_a_case(name, source):
    """Adversarial, honest and trusted examples do not overlap."""
    data = CASES[name].make(source)
    assert len(data.train) == 40 and len(data.test) == 6
    found = tuple(
        int(data.mask(getattr(data, f"{k}_ids")).sum()) for k in KINDS
    )
    assert found == COUNTS[name]
    bad = data.poisoned_ids, data.flood_ids, data.cover_ids, data.noise_ids
    assert len(set().union(*bad)) == sum(map(len, bad))
    assert not data.trusted_ids & data.adversarial_ids
    assert bool(data.attacks) == bool(data.poisoned_ids)
    if data.minority_ids:
        assert data.trusted_ids <= data.minority_ids
        assert len(data.minority_test) == 6


def test_near_clean_label_takes_plausible_targets(source, monkeypatch):
    """With equal scores, all can be poisoned."""
    monkeypatch.setattr(source, "score", lambda rows: np.zeros(len(rows)))
    data = CASES["near-clean label"].make(source)
    assert len(data.poisoned_ids) == 4


def test_few_examples_are_fewer(make_source):
    """Whatever the size of the other cases."""
    data = CASES["50 examples"].make(make_source(num_train=10))
    assert (len(data.train), len(data.poisoned_ids)) == (50, 5)


def test_every_group_is_there():
    """By group, with all cases of the other comparison."""
    groups = {}
    for case in CASES.values():
        groups.setdefault(case.group, []).append(case.name)
    assert {group: len(names) for group, names in groups.items()} == {
        "attacks": 26,
        "clean data": 4,
        "own prompt": 10,
        "floods": 6,
        "nearly true": 3,
        "honest minorities": 24,
        "label noise": 4,
        "few examples": 4,
    }
    assert set(cases.HONEST_GROUPS) < set(groups)


def test_optimised_attack_is_fitted_once(make_source, tmp_path, monkeypatch):
    """The next run reads the perturbation from the cache."""
    source = make_source(cache=tmp_path)
    fitted = []

    def fit(name, clean, options):
        fitted.append(name)
        perturbation = np.full((32, 32, 3), 0.01)
        return {name: source.demo.attacks.OptimisedAttack(perturbation)}

    monkeypatch.setattr(source.demo, "load_attacks", fit)
    first, second = (CASES["optimised, string"].make(source) for _ in range(2))
    assert fitted == ["optimised"]
    assert first.poisoned_ids == second.poisoned_ids
    for old, new in zip(first.train, second.train):
        np.testing.assert_array_equal(old["images"], new["images"])
