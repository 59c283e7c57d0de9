"""Lines and warnings that tell a person what was found."""

import warnings

import numpy as np
import pytest

from keras_byorn.detection import reports
from keras_byorn.detection.decisions import FlagFraction, MixtureThreshold


class Found:
    """A detection of `num_suspects` among `count` examples."""

    clusters = ()

    def __init__(self, num_suspects, count, reason="two groups"):
        self.verdicts = np.full(count, "kept", object)
        self.verdicts[:num_suspects] = "suspect"
        self.reason = reason

    def __len__(self):
        return len(self.verdicts)


@pytest.mark.parametrize(
    "num_suspects, count, line",
    [
        (400, 4000, "400 of 4,000 (10.0 %) suspect: two groups"),
        (0, 7, "0 of 7 (0.0 %) suspect: two groups"),
        (12_345, 1_000_000, "12,345 of 1,000,000 (1.2 %) suspect: two groups"),
    ],
)
def test_the_verdict_is_one_line(num_suspects, count, line, capsys):
    """With a count, a share and the reason."""
    found = Found(num_suspects, count)
    assert reports.summary_line(found) == line
    reports.announce(found)
    assert capsys.readouterr().out == f"{line}\n"


def test_what_is_on_probation_is_told_apart():
    """It waits for a student, and nothing but its rank is against it."""
    found = Found(1, 4)
    found.verdicts[2:] = ["on_probation", "trusted"]
    assert reports.summary_line(found) == (
        "1 of 4 (25.0 %) suspect, 1 of 4 (25.0 %) on probation: two groups"
    )


def test_few_clusters_are_told_and_the_others_counted(capsys):
    """A line for each of the first eight."""
    found = Found(9, 20)
    found.clusters = [f"cluster {number}" for number in range(1, 11)]
    reports.announce(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:9] == [f"  cluster {number}" for number in range(1, 9)]
    assert lines[9:] == ["  and 2 more in `detection.clusters`"]


def said(found, decision):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reports.warn_if_unsure(found, decision)
    return [str(warning.message) for warning in caught]


def test_few_examples_are_a_warning():
    """They tell little, whatever decides."""
    (few,) = said(Found(1, 99), MixtureThreshold())
    assert few.startswith("99 examples tell little") and "audit" in few
    assert said(Found(1, 99), FlagFraction(0.4)) == [few]
    assert said(Found(1, 100), MixtureThreshold()) == []


def test_many_suspects_are_a_warning():
    """The reference may not know the task, and doubt all of it."""
    (many,) = said(Found(260, 1000), MixtureThreshold())
    assert many.startswith("260 of 1,000 (26.0 %) are suspect")
    assert said(Found(250, 1000), MixtureThreshold()) == []


def test_a_share_that_was_asked_for_is_no_warning():
    """Nor are the examples that tie with it, or come as copies."""
    decision = FlagFraction(0.4)
    assert said(Found(400, 1000), decision) == []
    assert said(Found(440, 1000), decision) == []
    assert len(said(Found(460, 1000), decision)) == 1
    assert len(said(Found(260, 1000), FlagFraction(0.1))) == 1


def test_a_small_and_doubtful_detection_warns_twice():
    """Neither hides the other."""
    few, many = said(Found(30, 60), MixtureThreshold())
    assert "60 examples" in few and "30 of 60 (50.0 %)" in many
