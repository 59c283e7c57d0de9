"""Comparison of scorers and decisions; see `compare_detectors.py`."""
