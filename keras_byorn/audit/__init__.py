"""Account of a detection or of a defended fine-tune."""

from keras_byorn.audit.audit import Audit

__all__ = ["Audit"]
