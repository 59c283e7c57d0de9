"""Bad inputs and faults, each with what it gets: a table for the docs."""

from faults import (
    control_faults,
    file_faults,
    id_faults,
    image_faults,
    saved_faults,
    text_faults,
    trust_faults,
)
from faults.case import CASES

# The sections of the page, in order. A new module adds its cases when it is
# imported, and stands here for its `SECTION`.
MODULES = (
    text_faults,
    control_faults,
    id_faults,
    image_faults,
    file_faults,
    trust_faults,
    saved_faults,
)
__all__ = ["CASES", "MODULES"]
