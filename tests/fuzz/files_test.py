"""Files that are cut, flipped or filled are read as they are, or refused."""

import io
import json

import numpy as np
import PIL.Image
import pytest
from hypothesis import strategies as st

from fuzz.outcomes import Outcomes
from fuzz.profiles import fuzzed
from keras_byorn.data.examples import Examples
from keras_byorn.data.words import is_blank
from keras_byorn.detection.choices import choices_of

TEXTS = ["red three", "a blue seven, left of it", "café", "white <eos> one"]
IDS = [f"scene-{index}" for index in range(4)]
PIXELS = (np.arange(32 * 32 * 3) % 251).reshape(32, 32, 3).astype("uint8")
HOSTILE = (
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",  # half a character
    b"\\ud800",
    b'"',
    b"\n",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"9" * 5000,
    b"NaN",
    b"../../etc/passwd",
    b"https://example.com/a.png",
    b"red" * 50_000,
)


def mutated(data, cut, flips, filling, place):
    """Bytes with some of them flipped, others put in, and the end cut off."""
    found = bytearray(data)
    for where, bits in flips:
        found[int(where * (len(found) - 1))] ^= bits
    if filling is not None:
        at = int(place * len(found))
        found[at:at] = filling
    return bytes(found[: int(cut * len(found))])


fractions = st.floats(0, 1)
mutations = st.fixed_dictionaries(
    {
        "cut": st.one_of(*[st.just(1.0)] * 4, fractions),
        "flips": st.lists(
            st.tuples(fractions, st.integers(1, 255)), max_size=3
        ),
        "filling": st.one_of(
            st.none(), st.none(), st.sampled_from(HOSTILE), st.binary()
        ),
        "place": fractions,
    }
)


def lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def cells():
    rows = [(f"{n}.png", text) for n, text in enumerate(TEXTS)]
    rows = [("image", "caption"), *rows]
    return "".join(f'{a},"{b}"\n' for a, b in rows).encode()


def tables():
    """Bytes of a table of each kind, by its name."""
    rows = [{"image": f"{n}.png", "caption": t} for n, t in enumerate(TEXTS)]
    coco = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(4)],
        "annotations": [
            {"image_id": n, "caption": text} for n, text in enumerate(TEXTS)
        ],
    }
    turns = [
        {
            "image": f"{n}.png",
            "conversations": [
                {"from": "human", "value": "<image>\nwhat is it?"},
                {"from": "gpt", "value": text},
            ],
        }
        for n, text in enumerate(TEXTS)
    ]
    return {
        "t.jsonl": lines(rows),
        "list.json": json.dumps(rows).encode(),
        "coco.json": json.dumps(coco).encode(),
        "turns.jsonl": lines(turns),
        "t.csv": cells(),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    for index in range(4):
        PIL.Image.fromarray(PIXELS).save(folder / f"{index}.png")
    return folder


@pytest.mark.parametrize("name", tables())
def test_tables(tasks, folder, name):
    """Rows that are whole in the file are read as they were."""
    outcomes, data, path = Outcomes(), tables()[name], folder / name
    read = Examples.from_csv if name == "t.csv" else Examples.from_jsonl

    @fuzzed(
        share=0.4,
        mutation=mutations,
        on_bad=st.sampled_from(["raise", "drop"]),
    )
    def check(mutation, on_bad):
        changed = mutated(data, **mutation)
        path.write_bytes(changed)
        with outcomes.case():
            examples = read(
                path, tasks["SentencePiece"], on_bad=on_bad, verbose=0
            )
            found = {e["example_id"]: e for e in examples}
            for example in found.values():
                assert not is_blank(example["responses"])
                example["responses"].encode()
                assert example["images"].shape == (32, 32, 3)
                np.testing.assert_array_equal(example["images"], PIXELS)
                if name == "t.csv":  # a lost quote joins rows
                    text = without_marks(changed.decode("utf-8-sig"))
                    assert without_marks(example["responses"]) in text
            before, after = data.split(b"\n"), changed.split(b"\n")
            if len(before) != len(after) or not name.endswith(".jsonl"):
                return
            for index, (old, new) in enumerate(zip(before[:-1], after)):
                example = found.get(f"{path.stem}/{index}")
                if old == new and example is not None:
                    text = TEXTS[index].replace("<eos>", "< eos>")
                    assert example["responses"] == text

    check()
    outcomes.check()


def without_marks(text):
    return "".join(text.replace('"', "").split())


def encoded(kind, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_pictures(folder, kind):
    """Decoded to RGB, or refused; never an error of the decoder's own."""
    outcomes, data = Outcomes(), encoded(kind)

    @fuzzed(share=0.4, mutation=mutations)
    def check(mutation):
        changed = mutated(data, **mutation)
        columns = {"image": [changed], "caption": ["it"]}
        with outcomes.case():
            examples = Examples.from_dataframe(
                columns, prompt="describe\n", max_pixels=10**6, verbose=0
            )
            image = examples[0]["images"]
            assert image.dtype == "uint8" and image.shape[-1] == 3
            if changed == data and kind in ("PNG", "BMP", "TIFF"):
                np.testing.assert_array_equal(image, PIXELS)

    check()
    outcomes.check()


DECISIONS = {
    "decisions.json": json.dumps({"trust": IDS, "labels": {}}).encode(),
    "ids.json": json.dumps(IDS).encode(),
    "ids.txt": "\n".join(IDS).encode(),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_trusted_files(folder, name):
    """Only ids of the examples are ever trusted."""
    outcomes, data, path = Outcomes(), DECISIONS[name], folder / name
    examples = [(example_id, "p", "r") for example_id in IDS]

    @fuzzed(share=0.4, mutation=mutations)
    def check(mutation):
        path.write_bytes(mutated(data, **mutation))
        with outcomes.case():
            found = choices_of(str(path), examples).trusted
            assert set(found) <= set(IDS)
            assert found == sorted(found)

    check()
    outcomes.check()
