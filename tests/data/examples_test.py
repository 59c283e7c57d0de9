"""Examples read the same from every kind of source, with stable ids."""

import numpy as np
import PIL.Image
import pytest

from keras_byorn.data.examples import Examples

IDS = ["a", "b", "c"]
RESPONSES = ["red three", "blue four", "green five"]


def image(index):
    return np.full((4, 4, 3), 10 * index, "uint8")


def rows():
    return [
        {
            "example_id": IDS[i],
            "images": image(i),
            "prompts": f"prompt {i}\n",
            "responses": RESPONSES[i],
        }
        for i in range(3)
    ]


class Source:
    """Length and integer indexing and nothing else; counts the reads."""

    def __init__(self, rows):
        self._rows = rows
        self.reads = []

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        if type(index) is not int:
            raise TypeError(f"a plain int, please: {index!r}")
        self.reads.append(index)
        return self._rows[index]


def from_list():
    return Examples(rows())


def from_columns():
    columns = {key: [row[key] for row in rows()] for key in rows()[0]}
    columns["images"] = np.stack(columns["images"])
    columns["responses"] = np.array(columns["responses"])  # np.str_ inside
    return Examples(columns)


def from_tfds():
    """As `tfds.data_source` hands rows over: all text is bytes."""
    as_bytes = {
        key: (lambda text: text.encode("utf-8"))
        for key in ("example_id", "prompts", "responses")
    }
    return Examples(
        Source(
            [
                {key: as_bytes.get(key, np.asarray)(row[key]) for key in row}
                for row in rows()
            ]
        )
    )


def from_datasets():
    """As a Hugging Face data set: Pillow images, names of its own."""
    return Examples(
        Source(
            [
                {
                    "image": PIL.Image.fromarray(row["images"]),
                    "question": row["prompts"],
                    "answer": row["responses"],
                    "licence": "unknown",
                }
                for row in rows()
            ]
        ),
        example_ids=IDS,
        rename={
            "image": "images",
            "question": "prompts",
            "answer": "responses",
        },
    )


SOURCES = [from_list, from_columns, from_tfds, from_datasets]


@pytest.mark.parametrize("make", SOURCES)
def test_every_source_reads_alike(make):
    """The defence must not care where the data come from."""
    examples = make()
    assert len(examples) == 3
    assert examples.example_ids == IDS
    for index, expected in enumerate(rows()):
        example = examples[index]
        assert set(example) == set(expected)
        for key in ("example_id", "prompts", "responses"):
            assert type(example[key]) is str
            assert example[key] == expected[key]
        assert example["images"].dtype == "uint8"
        np.testing.assert_array_equal(example["images"], expected["images"])


@pytest.mark.parametrize("make", SOURCES)
def test_positions_and_ids_lead_to_the_same_example(make):
    """Rows are known by id, and positions behave as those of a list."""
    examples = make()
    assert examples.by_id("b")["responses"] == "blue four"
    assert examples.index_of("b") == 1
    assert examples[-1]["example_id"] == "c"
    assert [e["example_id"] for e in examples] == IDS
    with pytest.raises(IndexError):
        examples[3]
    with pytest.raises(KeyError):
        examples.by_id("z")


def test_text_is_decoded_as_utf8():
    """Accents survive the bytes that TFDS hands over."""
    row = {**rows()[0], "responses": "café".encode(), "example_id": b"id-0"}
    examples = Examples([row])
    assert examples[0]["responses"] == "café"
    assert examples.example_ids == ["id-0"]


def test_reads_only_what_is_asked_for():
    """A data set larger than memory must be usable: nothing is kept."""
    source = Source(rows())
    examples = Examples(source, example_ids=IDS)
    assert len(source.reads) == 0
    examples[2], examples[2]
    assert source.reads == [2, 2]


def test_example_ids_given_win_over_the_rows():
    """Ids of one's own replace those of the source; ints become text."""
    examples = Examples(rows(), example_ids=[7, 8, 9])
    assert examples.example_ids == ["7", "8", "9"]
    assert examples[0]["example_id"] == "7"
    assert examples.by_id("9")["responses"] == "green five"


def test_ids_from_content_stay_with_their_examples():
    """Adding or removing others changes no id, in any process."""

    def ids(rows):
        for row in rows:
            row.pop("example_id", None)
        return Examples(rows, example_ids="content").example_ids

    before = ids(rows())
    assert len(set(before)) == 3 and ids(rows()[::-1]) == before[::-1]
    assert before[0] == "de20be71aee91e1684bbaaeddd7a3fd6"
    for field, value in [
        ("images", image(7)),
        ("images", [image(1), image(1)]),
        ("images", None),
        ("prompts", "another"),
        ("responses", "another"),
    ]:
        changed = rows()
        changed[1][field] = value
        after = ids(changed)
        assert [after[0], after[2]] == [before[0], before[2]]
        assert after[1] not in before
    assert ids(rows()[:1] * 3) == [
        before[0],
        f"{before[0]}-2",
        f"{before[0]}-3",
    ]
    # Ids do not depend on the kind of source.
    source = Source([{k: np.asarray(v) for k, v in r.items()} for r in rows()])
    assert Examples(source, example_ids="content").example_ids == before


@pytest.mark.parametrize(
    "source, kwargs, message",
    [
        ([], {}, "at least one example.*length 0"),
        ({}, {}, "at least one example"),
        ({"images": [1], "prompts": ["p", "q"]}, {}, "one length.*'images': 1"),
        (rows(), {"example_ids": ["a", "b"]}, "2 ids for 3 examples"),
        (rows(), {"example_ids": ["a", "b", "a"]}, r"unique.*\['a'\]"),
        (rows() + rows()[:1], {}, r"unique.*\['a'\]"),
        (rows(), {"example_ids": "index"}, "'content'.*Received:.*'index'"),
        ([{"images": 1}], {}, "rename=.*example_ids=.*Missing.*example_id"),
    ],
)
def test_bad_sources_are_refused(source, kwargs, message):
    """The message says what is wrong and which ids it is about."""
    with pytest.raises(ValueError, match=message):
        Examples(source, **kwargs)


def test_a_missing_field_is_named():
    """The remedy, `rename=`, is in the message; so is what there was."""
    examples = Examples([{"example_id": "a", "image": 1, "prompts": "p"}])
    message = r"rename=.*Missing: \['responses'\].*'image'"
    with pytest.raises(ValueError, match=message):
        examples[0]


def test_replaced_changes_a_copy():
    """Poisoning and cleaning never touch the data that they were given."""
    examples = from_list()
    new = {**examples[1], "responses": "mended", "example_id": "ignored"}
    other = examples.replaced({"b": new})
    assert other.by_id("b")["responses"] == "mended"
    assert other[1]["example_id"] == "b"
    assert other.example_ids == IDS
    assert other[0]["responses"] == "red three"
    assert examples[1]["responses"] == "blue four"
    again = other.replaced({"c": {**examples[2], "responses": "third"}})
    responses = [example["responses"] for example in again]
    assert responses == ["red three", "mended", "third"]
    again[1]["responses"] = "scribble"
    assert again[1]["responses"] == "mended"


def test_replaced_refuses_unknown_ids():
    """A typing error in an id must not pass for a replacement."""
    with pytest.raises(ValueError, match="unknown ids.*'z'"):
        from_list().replaced({"z": rows()[0]})


def test_rename_onto_a_field_that_exists_is_an_error():
    """Otherwise the one would overwrite the other without a word."""
    source = [{**row, "caption": "another"} for row in rows()]
    with pytest.raises(ValueError, match="`rename` must not .* 'responses'"):
        Examples(source, rename={"caption": "responses"})[0]


def test_pillow_images_are_rgb():
    """Upright, and over white where they are transparent."""
    clear = PIL.Image.new("RGBA", (3, 2), (9, 9, 9, 0))
    grey = PIL.Image.new("L", (3, 2), 7)
    row = {**rows()[0], "images": [clear, grey]}
    white, dark = Examples([row])[0]["images"]
    np.testing.assert_array_equal(white, np.full((2, 3, 3), 255))
    np.testing.assert_array_equal(dark, np.full((2, 3, 3), 7))


@pytest.mark.parametrize("value", ["a.png", b"\x89PNG", {"path": "a.png"}])
def test_files_are_for_the_readers(value):
    """A name is never read here; the error names what reads it."""
    examples = Examples([{**rows()[0], "images": value}])
    with pytest.raises(ValueError, match="example 'a'.*from_dataframe"):
        examples[0]


def test_repr_says_what_it_holds():
    """A notebook shows the count, the source and the fields renamed."""
    assert repr(from_columns()) == (
        "<Examples: 3 examples from a dict of columns>"
    )
    assert repr(from_datasets()) == (
        "<Examples: 3 examples from Source; renamed image -> images, "
        "question -> prompts, answer -> responses>"
    )
    replaced = from_list().replaced({"b": rows()[0]})
    assert repr(replaced) == "<Examples: 3 examples from list; 1 replaced>"
