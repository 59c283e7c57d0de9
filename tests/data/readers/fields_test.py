"""Fields are found by name, by convention, and in any spelling."""

import numpy as np
import pytest

from keras_byorn.data.readers.fields import Fields, field, find_fields, normal


@pytest.mark.parametrize(
    "row, expected",
    [
        ({"image": 1, "caption": 2}, ("caption", "image", None, "caption")),
        ({"file_name": 1, "text": 2}, ("caption", "file_name", None, "text")),
        (
            {"image": 1, "question": 2, "caption": 3, "answer": 4},
            ("question", "image", "question", "answer"),
        ),
        (
            {"image": 1, "captions": [{"text": "a"}, {"text": "b"}]},
            ("caption", "image", None, "captions/text"),
        ),
        (
            {"image": 1, "question": 2, "answers": ["a"]},
            ("question", "image", "question", "answers"),
        ),
        (
            {"image": 1, "messages": [{"role": "user", "content": "x"}]},
            ("conversation", "image", None, "messages"),
        ),
        (
            {"images": 1, "prompts": 2, "responses": 3},
            ("ready", "images", "prompts", "responses"),
        ),
        (
            {"Image-Name": 1, "  Comment ": 2},
            ("caption", "Image-Name", None, "  Comment "),
        ),
        (
            {"image": 1, "messages": "no turns", "text": "it"},
            ("caption", "image", None, "text"),
        ),
    ],
)
def test_conventions(row, expected):
    """The first that a row has, in the order of `TEXT_FIELDS`."""
    assert find_fields(row) == Fields(*expected)


def test_named_fields_win():
    """A name is taken as it is, in any case, or a path."""
    row = {"image": 1, "caption": 2, "Alt Text": 3, "a": {"b": 4}, "a/c": 5}
    assert find_fields(row, response_field="alt_text").response == "Alt Text"
    assert find_fields(row, response_field="a/b").response == "a/b"
    assert field(row, "a/b") == 4 and field(row, "a/c") == 5
    found = find_fields(row, question_field="caption", response_field="a/b")
    assert found.kind == "question" and found.prompt == "caption"


def test_paths_lead_through_lists():
    """As TFDS and JSON nest captions: lists of dicts, or dicts of lists."""
    assert field({"a": [{"b": 1}, {"b": 2}]}, "a/b") == [1, 2]
    assert field({"a": {"b": [1, 2]}}, "a/b") == [1, 2]
    many = np.array([{"b": 1}, {"b": 2}], object)
    assert field({"a": many}, "a/b") == [1, 2]


def test_missing_fields_are_refused():
    """With the name, and with what the row has."""
    with pytest.raises(ValueError, match=r"`image_field`.*None.*\['caption'\]"):
        find_fields({"caption": 1})
    assert find_fields({"caption": 1}, needs_image=False).image is None
    with pytest.raises(ValueError, match="`response_field`.*title.*'image'"):
        find_fields({"image": 1}, response_field="title")
    with pytest.raises(ValueError, match="more than case.*'a b', 'A_B'"):
        find_fields({"image": 1, "a b": 1, "A_B": 2}, response_field="A b")


def test_names_are_compared_without_case_and_spaces():
    """A dash and a space are the same as an underscore."""
    assert normal(" File-Name ") == normal("file name") == "file_name"
