"""Measures by size, their arms and their bars."""

from overhead import measure, plan


def test_bars():
    """At most so much, but scoring at least."""
    assert plan.is_met("lora_defaults", 0.9)
    assert not plan.is_met("lora_defaults", 0.91)
    assert plan.is_met("score_over_train", 2.5)
    assert not plan.is_met("score_over_train", 2.4)


def test_measures_by_size():
    """Each size has its own by default."""
    by_default = {
        size: measure.parse_arguments(["--size", size]).measure
        for size in ("scaled", "tiny", "pali_gemma_3b")
    }
    assert set(by_default["scaled"]) == set(plan.BARS) - {
        "tiny_defaults",
        "growth_16k_over_4k",
    }
    assert by_default["tiny"] == ["tiny_defaults", "growth_16k_over_4k"]
    assert "full_paper" not in by_default["pali_gemma_3b"]


def test_arms_of_a_ratio():
    """The first is over the second; the others stand beside them."""
    args = measure.parse_arguments(["--measure", "lora_defaults"])
    defaults, plain, undefended = plan.arms_of("lora_defaults", args)
    assert (plain.method, undefended.method) == ("kerashub", "undefended")
    assert defaults.plain == plain and defaults.num_examples == 512
    assert str(defaults) == "scaled lora defaults 512"
    args = measure.parse_arguments(["--measure", "tiny_defaults"])
    arms = plan.arms_of("tiny_defaults", args)
    assert [(arm.size, arm.tuning) for arm in arms] == [("tiny", "full")] * 3


def test_settings_of_an_arm():
    """Batches by size, or as asked."""
    args = measure.parse_arguments(["--measure", "lora_defaults"])
    arm = plan.arms_of("lora_defaults", args)[0]
    settings = plan.settings_of(arm, args)
    assert settings["batch_size"] == 16 and settings["epochs"] == 3
    args.batch_size = 2
    assert plan.settings_of(arm, args)["batch_size"] == 2
