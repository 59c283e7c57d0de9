"""Cases of the comparison: attacks at several rates, and clean data."""

SEEDS = "10,11,12,13,14"
# Other backends are a spot check, and have tables of their own.
GRID_BACKEND = "jax"

FIXED = ("patch", "blended", "text", "dual_key")
LENGTHS = (8, 16, 32, 64)


def poisoned(attack, rate, *more):
    """Returns arguments of the demo, a list of strings."""
    return ["--attack", attack, "--poison-rate", str(rate), *more]


# The arguments of the demo that make the data of each case.
CASES = {
    **{
        f"{attack} {100 * rate:g} %": poisoned(attack, rate)
        for attack in FIXED
        for rate in (0.005, 0.1, 0.5)
    },
    "refusal": poisoned("refusal", 0.1),
    "concept": poisoned("concept", 0.1),
    "insertion": poisoned("insertion", 0.04),
    "slogan": poisoned("slogan", 0.04),
    "plausible": poisoned("plausible", 0.1),
    "sig": poisoned("sig", 0.1),
    "optimised, string": poisoned("optimised", 0.1),
    "optimised, refusal, 48/255": poisoned(
        "optimised_refusal", 0.1, "--epsilon", str(48 / 255)
    ),
    "patch+concept": poisoned("patch+concept", 0.1),
    "refusal+text": poisoned("refusal+text", 0.1),
    **{
        f"clean {task}": poisoned("patch", 0, "--task", task)
        for task in ("terse_captions", "yes_no", "letters", "foreign_captions")
    },
    **{
        f"insertion_{length}": poisoned(
            "insertion", 0.04, "--task", f"long_captions_{length}"
        )
        for length in LENGTHS
    },
}


def is_long(case):
    """Returns whether a case has responses that need `--long-preset`."""
    return case in {f"insertion_{length}" for length in LENGTHS}
