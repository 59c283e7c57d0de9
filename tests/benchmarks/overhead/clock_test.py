"""Seconds under names, and their parts."""

import time

from overhead.clock import Clock, split


def test_clock_adds_up():
    """Calls under one name are one sum; results are handed on."""
    clock = Clock()
    nap = clock.timed("nap", lambda: time.sleep(0.01) or "rested")
    assert [nap(), nap()] == ["rested", "rested"]
    assert clock.seconds["nap"] >= 0.02
    assert clock.seconds["other"] == 0


def test_parts_are_the_whole():
    """Batches are made within the epochs; the rest is `other`."""
    clock = Clock()
    clock.seconds.update(
        score=1.0,
        epochs=5.0,
        batches=0.5,
        regenerate=2.0,
        check=0.25,
        total=9.0,
    )
    found = split(clock)
    assert found["seconds"] == 9.0 and found["epoch_seconds"] == 5.0
    assert found["split"] == {
        "score": 1.0,
        "train": 4.5,
        "regenerate": 2.0,
        "data": 0.75,
        "other": 0.75,
    }
