"""Processes of arms: their cores, and their end."""

import os

import pytest
from overhead import processes


def test_environment_of_an_arm():
    """Its threads, and no more of a GPU's memory than it uses."""
    environment = processes.environment(3)
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="no cores to pin"
)
def test_cores_are_given_back():
    """Within the block one core, after it all."""
    cores = os.sched_getaffinity(0)
    with processes.pinned(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == cores


@pytest.mark.slow
def test_dead_arm_is_named(monkeypatch, tmp_path):
    """The benchmark ends with its exit code and its settings."""
    (tmp_path / "dies.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(processes, "ARM_SCRIPT", tmp_path / "dies.py")
    with processes.Process({"size": "no_such"}, 1) as process:
        with pytest.raises(RuntimeError, match="code 3 of .*no_such"):
            process.ask("run")
