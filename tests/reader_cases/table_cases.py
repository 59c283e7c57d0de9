"""Tables in all spellings, and rows of them that are broken."""

import json

from reader_cases.case import (
    BLUE,
    GREEN,
    RED,
    assert_pairs,
    load,
    picture,
    read,
    refused,
    tiny,
    write_jsonl,
)

SECTION = "Tables"
PAIRS = [(RED, "a red one"), (GREEN, "a green one"), (BLUE, "a blue one")]
ROWS = [
    {"image": f"{color}.png", "caption": f"a {color} one"}
    for color in ("red", "green", "blue")
]


def pictures(folder):
    for row, (color, _) in zip(ROWS, PAIRS):
        picture(color).save(folder / row["image"])


def table(folder, text, name="captions.csv", encoding="utf-8", **options):
    """Writes and reads a table with its pictures beside it."""
    pictures(folder)
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return load(path, **options)


def with_broken(folder, before, line, after, name="captions.csv", where="2"):
    """Reads a broken row among good ones, which `on_bad` must keep."""
    text = f"{before}\n{line}\n{after}\n"
    try:
        return table(folder, text, name)
    except ValueError as error:
        assert f"line {where} of " in str(error)
        assert f"{name}" in str(error)
        examples = load(folder / name, on_bad="drop")
        assert len(examples.dropped) == 1
        assert_pairs(examples, PAIRS[:1] if len(examples) == 1 else PAIRS[::2])
        raise


@read(SECTION, ".jsonl", "read")
def jsonl(folder):
    pictures(folder)
    assert_pairs(load(write_jsonl(folder, ROWS)), PAIRS)


@read(SECTION, ".jsonl with a byte order mark, CRLF, empty lines", "read")
def jsonl_crlf(folder):
    text = "\r\n\r\n".join(map(json.dumps, ROWS))
    examples = table(folder, text, "captions.jsonl", "utf-8-sig")
    assert_pairs(examples, PAIRS)


@read(SECTION, ".jsonl with a line separator (U+2028) in a text", "one row")
def line_separator(folder):
    row = {"image": "red.png", "caption": "a\u2028b"}
    text = json.dumps(row, ensure_ascii=False)
    examples = table(folder, text, "captions.jsonl")
    assert_pairs(examples, [(RED, "a\u2028b")])


@read(SECTION, ".json, a list of objects", "read")
def json_list(folder):
    examples = table(folder, json.dumps(ROWS, indent=2), "captions.json")
    assert_pairs(examples, PAIRS)


@read(SECTION, ".json, LLaVA's, with pictures in files", "turn by turn")
def llava_list(folder):
    turns = [
        {"from": "human", "value": "<image>\nwhat is it?"},
        {"from": "gpt", "value": "a red one"},
    ]
    rows = [
        {"id": "7", "image": "red.png", "conversations": turns},
        {
            "id": "8",
            "image": "blue.png",
            "conversations": [*turns[:1], {"from": "gpt", "value": "blue"}],
        },
    ]
    examples = table(folder, json.dumps(rows), "llava.json", vlm=tiny())
    assert_pairs(examples, [(RED, "a red one"), (BLUE, "blue")])
    assert {e["prompts"] for e in examples} == {"what is it?\n"}


@read(SECTION, ".json, COCO's annotations of captions", "joined by id")
def coco(folder):
    data = {
        "images": [
            {"id": 9, "file_name": "red.png"},
            {"id": 4, "file_name": "blue.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 4, "caption": "a blue one"},
            {"id": 2, "image_id": 9, "caption": "a red one"},
        ],
    }
    for indent in (None, 1):
        text = json.dumps(data, indent=indent)
        examples = table(folder, text, "captions.json")
        assert_pairs(examples, [(BLUE, "a blue one"), (RED, "a red one")])


@read(SECTION, ".csv", "read, with commas and new lines in quoted cells")
def csv(folder):
    text = 'image,caption\nred.png,"a ""red"", big\none"\nblue.png,a blue one\n'
    examples = table(folder, text)
    pairs = [(RED, 'a "red", big\none'), (BLUE, "a blue one")]
    assert_pairs(examples, pairs)


@read(SECTION, ".csv with a byte order mark", "the mark is no part of a name")
def csv_mark(folder):
    text = "image,caption\nred.png,a red one\n"
    examples = table(folder, text, encoding="utf-8-sig")
    assert_pairs(examples, PAIRS[:1])


@read(
    SECTION, ".csv with semicolons, and commas in cells", "told by the header"
)
def semicolons(folder):
    text = "image;caption\nred.png;a red, round one\n"
    assert_pairs(table(folder, text), [(RED, "a red, round one")])


@read(SECTION, ".csv with spaces behind its commas", "without these spaces")
def spaced(folder):
    text = 'image, caption\nred.png, "a red, round one"\nblue.png, blue\n'
    pairs = [(RED, "a red, round one"), (BLUE, "blue")]
    assert_pairs(table(folder, text), pairs)


@read(SECTION, ".tsv, and tabs in a file of any name", "told by the header")
def tabs(folder):
    text = "image\tcaption\nred.png\ta red, round; one\n"
    for name in ("captions.tsv", "captions.csv"):
        examples = table(folder, text, name)
        assert_pairs(examples, [(RED, "a red, round; one")])


@read(SECTION, "bars, as Flickr30k has", "told by the header")
def bars(folder):
    text = "image_name| comment_number| comment\nred.png| 0| a red, big one\n"
    assert_pairs(table(folder, text), [(RED, "a red, big one")])


@read(SECTION, ".csv in cp1252, with `encoding='cp1252'`", "read")
def cp1252(folder):
    pictures(folder)
    path = folder / "captions.csv"
    path.write_text("image,caption\nred.png,a café\n", "cp1252")
    assert_pairs(load(path, encoding="cp1252"), [(RED, "a café")])


@read(SECTION, ".csv in UTF-16, with `encoding='utf-16'`", "read")
def utf16(folder):
    pictures(folder)
    path = folder / "captions.csv"
    path.write_text("image,caption\nred.png,a café\n", "utf-16")
    assert_pairs(load(path, encoding="utf-16"), [(RED, "a café")])


@read(SECTION, "names of columns in any case, with spaces", "found")
def spelling(folder):
    text = "ID, Image Name ,CAPTION\n7,red.png,a red one\n"
    assert_pairs(table(folder, text), PAIRS[:1])


@read(SECTION, "Flickr8k's `captions.txt`, `image,caption`", "read")
def flickr8k(folder):
    text = "image,caption\nred.png,a red one\nred.png,it is red .\n"
    examples = table(folder, text, "captions.txt")
    assert_pairs(examples, [(RED, "a red one"), (RED, "it is red .")])
    assert examples.example_ids == ["captions/0", "captions/1"]


@read(SECTION, "Flickr8k's `token.txt`, `red.png#0` and a tab", "no header")
def token_txt(folder):
    text = "red.png#0\ta red one\nblue.png#4\ta blue one\n"
    examples = table(folder, text, "Flickr8k.token.txt")
    assert_pairs(examples, [PAIRS[0], PAIRS[2]])


@read(SECTION, "numbers in front of texts, and an empty last column", "read")
def extra_column(folder):
    text = ",image,caption,\n0,red.png,a red one,\n"
    assert_pairs(table(folder, text), PAIRS[:1])


GOOD_CSV = "image,caption\nred.png,a red one"


@refused(SECTION, "an unquoted comma, a surplus cell", "must be quoted")
def surplus(folder):
    line = "green.png,a green, big one"
    with_broken(folder, GOOD_CSV, line, "blue.png,a blue one", where="3")


@refused(SECTION, "a row with too few cells", "as many cells as the header")
def too_few(folder):
    with_broken(folder, GOOD_CSV, "green.png", "blue.png,a blue one", where="3")


@refused(SECTION, "a cell whose text goes on behind its quotes", "do not match")
def bad_quotes(folder):
    line = 'green.png,"Hello" she said'
    with_broken(folder, GOOD_CSV, line, "blue.png,a blue one", where="3")


@refused(SECTION, "a quote that is never closed", "do not match")
def open_quote(folder):
    line = 'green.png,"a green one'
    after = "blue.png,a blue one"
    with_broken(folder, GOOD_CSV, line, after, where="3-4")


@refused(SECTION, "a quote that swallows rows", "one cell of several lines")
def swallowed(folder):
    line = 'green.png,"a green one\nred.png,a red one\nred.png,so "'
    with_broken(folder, GOOD_CSV, line, "blue.png,a blue one", where="3-5")


@refused(SECTION, "an empty caption", "the text is empty")
def empty_caption(folder):
    with_broken(
        folder, GOOD_CSV, "green.png,", "blue.png,a blue one", where="3"
    )


GOOD_JSON = json.dumps(ROWS[0])
LAST_JSON = json.dumps(ROWS[2])


@refused(SECTION, ".jsonl with a broken line", "the line is no JSON")
def broken_json(folder):
    line = '{"image": "green.png", "caption": "a gr'
    with_broken(folder, GOOD_JSON, line, LAST_JSON, "captions.jsonl")


@refused(SECTION, ".jsonl with a line that is no object", "must be an object")
def no_object(folder):
    line = '["green.png", "a green one"]'
    with_broken(folder, GOOD_JSON, line, LAST_JSON, "captions.jsonl")


@refused(SECTION, ".jsonl with a name twice in a line", "'caption' twice")
def name_twice(folder):
    line = '{"image": "green.png", "caption": "a", "caption": "b"}'
    with_broken(folder, GOOD_JSON, line, LAST_JSON, "captions.jsonl")


@refused(SECTION, ".jsonl with a line without the field", "has no field")
def no_field(folder):
    line = '{"image": "green.png", "title": "a green one"}'
    with_broken(folder, GOOD_JSON, line, LAST_JSON, "captions.jsonl")


@refused(SECTION, ".jsonl with half a character (a lone surrogate)", "half a")
def surrogate(folder):
    line = '{"image": "green.png", "caption": "a \\ud83d"}'
    with_broken(folder, GOOD_JSON, line, LAST_JSON, "captions.jsonl")


@refused(SECTION, ".csv in cp1252, read as UTF-8", "has the byte b'\\xe9' in")
def wrong_encoding(folder):
    text = "image,caption\nred.png,a café\n"
    pictures(folder)
    (folder / "captions.csv").write_bytes(text.encode("cp1252"))
    load(folder / "captions.csv")


@refused(SECTION, ".csv in UTF-16, read as UTF-8", "as one in utf-16 does")
def unnamed_utf16(folder):
    (folder / "captions.csv").write_text("image,caption\nr,a\n", "utf-16")
    load(folder / "captions.csv")


@refused(SECTION, "two columns of one name", "names ['caption'] twice")
def column_twice(folder):
    table(folder, "image,caption,caption\nred.png,a red one,b\n")


@refused(SECTION, "columns that differ in case alone", "more than case")
def columns_alike(folder):
    table(folder, "image,Caption,CAPTION\nred.png,a red one,b\n")


@refused(SECTION, "one column", "a column for the image and one for the text")
def one_column(folder):
    table(folder, "caption\na red one\n")


@refused(SECTION, "no header, three columns", "in the first line")
def no_header(folder):
    table(folder, "red.png,a red one,7\nblue.png,a blue one,8\n")


@refused(SECTION, "columns of unknown names", "must be a field of the data")
def unknown_columns(folder):
    table(folder, "a,b\nsome,a red one\n")


@refused(SECTION, "a header and no rows", "at least one example")
def no_rows(folder):
    table(folder, "image,caption\n")


@refused(SECTION, "an empty file", "at least one example")
def empty_file(folder):
    table(folder, "")


@refused(SECTION, ".json, an object of another kind", "a list of objects")
def other_object(folder):
    table(folder, json.dumps({"data": {"a": 1}}, indent=1), "captions.json")
