"""Numbers of the audit's page, put in words."""

import math
import sys

# JSON has no infinity.
INFINITE = sys.float_info.max

# The reference gave the token a chance below 1 in this.
SURPRISE_STEPS = (2, 10, 100, 1_000, 10_000)


def count(number):
    """Formats a count: `12,345`."""
    return f"{number:,}"


def percent(fraction):
    """Formats a share in [0, 1]: `10.2%`."""
    return f"{fraction:.1%}"


def score(number):
    """Formats a score: `−7.31`; `not scored` for NaN and `None`."""
    if number is None or math.isnan(number):
        return "not scored"
    if abs(number) >= INFINITE:
        return "∞" if number > 0 else "−∞"
    return f"{number:.2f}".replace("-", "−")


def standing(share):
    """Formats the share of a group that is more plausible, as a phrase."""
    if share == 1:
        return "less plausible than all others of its group"
    return f"less plausible than {percent(share)} of its group"


def mean(number):
    """Formats a mean of scores, or a dash for `None`, a mean of nothing."""
    return "–" if number is None else score(number)


def chance(surprise):
    """Formats a surprise in nats as a chance: `1 in 1,495`."""
    if surprise > 30:
        return "less than 1 in 10,000,000,000,000"
    odds = math.exp(surprise)
    return f"1 in {odds:.1f}" if odds < 10 else f"1 in {odds:,.0f}"


def surprise_view(surprise):
    """Formats the surprise of a token, in nats; `None` is not scored."""
    if surprise is None:
        return {"figure": "?", "title": "not scored", "level": 0}
    is_finite = surprise < INFINITE
    return {
        "figure": f"{surprise:.1f}" if is_finite else "∞",
        "title": (
            f"surprise {f'{surprise:.2f}' if is_finite else '∞'} nats: "
            f"a chance of {chance(surprise)}"
        ),
        "level": sum(surprise >= math.log(step) for step in SURPRISE_STEPS),
    }
