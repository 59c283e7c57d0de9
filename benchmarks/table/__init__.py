"""Defences over adaptive attacks and honest data; see `run_digits.py`."""
