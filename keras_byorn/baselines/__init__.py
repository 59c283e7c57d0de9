"""Defences to compare with."""

from keras_byorn.baselines.flags import OracleFlags, RandomFlags

__all__ = ["OracleFlags", "RandomFlags"]
