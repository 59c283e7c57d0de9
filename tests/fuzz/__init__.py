"""Fuzz tests, and what they share: profiles, texts and a memory that is told.

A few hundred cases run with the other tests; `make test-faults` runs ten
thousand of each.
"""
