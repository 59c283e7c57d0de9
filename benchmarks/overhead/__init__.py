"""Benchmark of the overhead in time and memory; see `measure.py`."""
