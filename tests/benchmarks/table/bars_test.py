"""Bars are met, missed, or not to be told."""

import pytest
from table import bars


@pytest.mark.parametrize(
    "changes, clean, expected",
    [
        ({}, {}, []),
        ({"attack_success_rate": 0.006}, {}, ["success"]),
        ({"attack_success_rate": 0.004}, {}, []),
        ({"attack_success_rate": 0.02, "group": "floods"}, {}, ["success"]),
        ({"attack_success_rate": 0.04, "group": "other"}, {}, []),
        ({"attack_success_rate": 0.024}, {"attack_success_rate": 0.02}, []),
        ({"attack_success_rate": None}, {"attack_success_rate": None}, []),
        ({"exact_match": 0.8}, {}, ["exact match"]),
        ({"refused": "why"}, {}, ["refused"]),
        ({"refused": "why", "num_flood": 45}, {}, []),
        (
            {"refused": "why", "num_flood": 45, "defence": "ours_trusted"},
            {},
            ["refused"],
        ),
        ({"error": "what"}, {}, ["error"]),
        ({}, None, None),
        ({}, {"exact_match": 0.1}, []),
    ],
)
def test_bars_of_attacks(result, changes, clean, expected):
    """Beside the same model on the clean examples."""
    if clean is not None:
        clean = result("clean_only", **clean)
    assert bars.unmet(result(**changes), clean, None) == expected


@pytest.mark.parametrize(
    "said, undefended, expected",
    [(0.8, 0.9, ["minority"]), (0.86, 0.9, []), (0.0, 0.05, [])],
)
def test_bar_of_minorities(result, said, undefended, expected):
    """A style that nobody learns cannot be lost."""
    none = result("none", minority_exact_match=undefended)
    cell = result("ours_trusted", minority_exact_match=said)
    assert bars.unmet(cell, none, none) == expected
    assert bars.unmet(cell, none, None) is None
    untrusting = result(minority_exact_match=said)
    assert bars.unmet(untrusting, none, none) == []


def test_failed_comparison_tells_nothing(result):
    """A run that raised has no figures to compare with."""
    failed = {"case": "patch 10 %", "error": "what"}
    assert bars.unmet(result(), failed, None) is None
