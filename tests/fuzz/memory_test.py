"""Hostile inputs take no more memory than honest ones; the last of these."""

from fuzz.conftest import peak_memory


def test_peak_memory_is_that_of_a_clean_run(clean_peak):
    """Within a fifth of it."""
    assert peak_memory() <= 1.2 * clean_peak
