"""Prompts and responses that are no text, no UTF-8, hidden or endless."""

from faults.case import MODEL, changed, either, kept, raises, same

SECTION = "Prompts and responses"
WHERE = f"either, {MODEL}"
SEEN = "must be non-empty strings, with characters that can be seen"
HALF = "must be text that UTF-8 can write"
LONG = "must fit the preprocessor's `sequence_length`, 32 tokens"
VALUES = {
    "an empty text": ("", SEEN),
    "spaces and new lines alone": (" \n\t", SEEN),
    "characters without width alone (U+200B)": ("\u200b\u2060", SEEN),
    "a control character alone": ("\x00", SEEN),
    "a blank of Braille alone (U+2800)": ("\u2800", SEEN),
    "`None`": (None, SEEN),
    "a number": (7, SEEN),
    "a list of texts": (["red"], SEEN),
    "half a character (a lone surrogate)": ("red \ud800", HALF),
    "a megabyte of text": ("x" * 10**6, LONG),
    "a megabyte of `<|`": ("<|" * 500_000, LONG),
}
for wrong, (value, part) in VALUES.items():
    raises(SECTION, wrong, WHERE, ValueError, part)(
        either(ValueError, part, value)
    )

for wrong, text in {
    "a NUL within": "red\x00three",
    "colours of a terminal (ANSI)": "\x1b[31mred three",
    "text from right to left (U+202E)": "red \u202eeerht",
    "characters without width within": "re\u200bd three",
    "many accents on one letter": "e" + "\u0301" * 9,
}.items():
    kept(SECTION, wrong, f"`responses`, {MODEL}", "taken as it is")(
        same("responses", text)
    )


@raises(
    SECTION,
    "bytes that are no UTF-8",
    "`responses`, Examples",
    "RowError",
    "a text in bytes must be UTF-8. Received: b'\\xff'",
)
def bad_bytes(folder):
    changed(responses=b"\xff")(folder)


@raises(
    SECTION,
    "twenty and more bad examples",
    MODEL,
    ValueError,
    "30 of 30 examples are not fit for training",
)
def many(folder):
    import keras_byorn
    from faults.case import rows, tiny

    source = [dict(row, responses="\x1b" * 10**5) for row in rows(30)]
    keras_byorn.PreparedExamples(source, tiny(), verbose=0)
