"""What was implausible, why, and what replaced it."""

from keras_byorn.audit.audit import Audit

__all__ = ["Audit"]
