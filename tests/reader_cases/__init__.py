"""Kinds of data, each with what must become of it: a table for the docs."""

from reader_cases import (
    array_cases,
    field_cases,
    file_cases,
    library_cases,
    picture_cases,
    table_cases,
)
from reader_cases.case import CASES

MODULES = (
    picture_cases,
    array_cases,
    file_cases,
    table_cases,
    field_cases,
    library_cases,
)
__all__ = ["CASES", "MODULES"]
