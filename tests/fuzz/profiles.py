"""Profiles of Hypothesis: a few cases in each run, and very many on demand.

`KERAS_BYORN_FUZZ=faults` takes the second; `fuzzed` reads it.
"""

import datetime
import os

import hypothesis

ENVIRONMENT = "KERAS_BYORN_FUZZ"
PROFILES = {"quick": 150, "faults": 10_000}
PROFILE = os.environ.get(ENVIRONMENT, "quick")
# A case takes milliseconds; on a machine that others use, much longer.
DEADLINE = datetime.timedelta(seconds=20)


def fuzzed(share=1.0, **strategies):
    """Returns a decorator that runs a test on drawn arguments.

    Args:
        share: float. Of the cases of the profile, for a test whose cases take
            longer than others. Defaults to 1.0.
        **strategies: a strategy of Hypothesis for each argument.

    Returns:
        A decorator. In the quick profile the cases are the same in each run;
        in `faults` they are new ones, and a failure prints how to repeat it.
    """
    settings = hypothesis.settings(
        max_examples=max(int(share * PROFILES[PROFILE]), 1),
        deadline=DEADLINE,
        derandomize=PROFILE == "quick",
        database=None,
        print_blob=True,
        suppress_health_check=[
            hypothesis.HealthCheck.too_slow,
            hypothesis.HealthCheck.data_too_large,
            hypothesis.HealthCheck.function_scoped_fixture,
        ],
    )

    def decorate(test):
        return settings(hypothesis.given(**strategies)(test))

    return decorate
