"""Figures from made-up answers of arms, by hand."""

import pytest
from overhead import figures, measure, plan


@pytest.fixture
def record(make_results):
    """Of three measures, with a defended arm that takes half the time."""
    args = measure.parse_arguments(
        ["--measure", "lora_defaults,score_over_lora_train,lora_peak_memory"]
    )
    defaults, plain, undefended = plan.arms_of("lora_defaults", args)
    results = make_results(
        {defaults: (0.5, 2), plain: (1, 7), undefended: (0.25, 1)}
    )
    results[undefended].first["score_seconds"] = 1.0
    return figures.make_record(results, args)


def test_ratios_by_hand(record):
    """Medians over medians, with and without compiling."""
    assert record["ratios"] == {
        "lora_defaults": 0.5,
        # An epoch of training takes a third of 11 * 0.25 seconds.
        "score_over_lora_train": 3.667,
        "lora_peak_memory": 0.5,
    }
    assert record["ratios_with_compilation"] == {
        "lora_defaults": figures.rounded(16 / 31)
    }
    assert record["spread"] == {"lora_defaults": [0.5, 0.5]}
    assert record["recompilations"] == 3  # without KerasHub's
    assert record["size"] == "scaled" and record["backend"] == "jax"


def test_more_ratios_by_hand(record):
    """Every arm over KerasHub's fit, in time and memory."""
    more = record["more"]
    assert more["scaled lora undefended 512: time"] == 0.25
    assert more["scaled lora defaults 512: memory"] == 0.5
    # Half of each process is libraries: nothing is left of the defended one.
    assert more["scaled lora defaults 512: memory without libraries"] == 0.0


def test_growth_is_the_last_over_the_one_before(make_results):
    """4,000 to 16,000 examples by default, and 1,000 beside them."""
    args = measure.parse_arguments(["--measure", "growth_16k_over_4k"])
    assert args.size == "tiny"
    arms = plan.arms_of("growth_16k_over_4k", args)
    assert [arm.num_examples for arm in arms] == [16000, 4000, 1000]
    results = make_results(
        {arms[0]: (4, 0), arms[1]: (1, 0), arms[2]: (0.25, 0)}
    )
    record = figures.make_record(results, args)
    assert record["ratios"] == {"growth_16k_over_4k": 4.0}
    assert record["recompilations"] == 0


def test_nothing_is_counted_where_nothing_compiles(make_results):
    """`None`, and not 0, on PyTorch."""
    args = measure.parse_arguments(["--measure", "tiny_defaults"])
    arms = plan.arms_of("tiny_defaults", args)
    results = make_results({arm: (1, None) for arm in arms})
    assert figures.make_record(results, args)["recompilations"] is None
