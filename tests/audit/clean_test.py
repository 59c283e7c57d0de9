"""Tests of the cleaned data set."""

import io
import sys

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
from audit_support import (
    PNG_SIGNATURE,
    make_audit,
    make_row,
    masked_audit,
)

from keras_byorn.audit import Audit
from keras_byorn.data.examples import Examples
from keras_byorn.training.target_store import TargetStore

CLEAN_IDS = ["kept", "restored", "regenerated", "mixed old", "mixed new"]


def treated():
    """An audit of an example of each fate, each with its own image."""
    ids = [*CLEAN_IDS, "excluded"]
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), "uint8")
    examples = Examples(
        {
            "example_id": ids,
            "images": images,
            "prompts": [f"prompt of {i}" for i in ids],
            "responses": [f"ünspoiled {i}" for i in ids],
        }
    )
    responses = [example["responses"] for example in examples]
    store = TargetStore(ids, [f"prompt of {i}" for i in ids], responses)
    store.set_scores([-1.0] * 6, [0, 1, 1, 0.25, 0.75, 1])
    store.review({1: "restored"}, [-1.0] * 6)
    for example_id in CLEAN_IDS[1:]:
        store.replace(example_id, f"mended {example_id}", [1])
    return Audit(store, examples), images


CLEAN_RESPONSES = [
    "ünspoiled kept",
    "ünspoiled restored",
    "mended regenerated",
    "ünspoiled mixed old",
    "mended mixed new",
]


def test_clean_examples_are_what_is_left_to_train_on():
    """Each fate gives its response; the excluded one is gone."""
    audit, images = treated()
    clean = audit.clean_examples()
    assert clean.example_ids == CLEAN_IDS
    assert [example["responses"] for example in clean] == CLEAN_RESPONSES
    assert clean[3]["prompts"] == "prompt of mixed old"
    assert clean.by_id("regenerated")["example_id"] == "regenerated"
    np.testing.assert_array_equal([e["images"] for e in clean], images[:5])


def test_clean_examples_as_parquet(tmp_path):
    """All that was written comes back, to the pixel and to the letter."""
    audit, images = treated()
    path = audit.write_clean_examples(tmp_path / "clean.parquet")
    table = pq.read_table(path)
    assert table["example_id"].to_pylist() == CLEAN_IDS
    assert table["responses"].to_pylist() == CLEAN_RESPONSES
    assert table["prompts"][0].as_py() == "prompt of kept"
    for value, image in zip(table["images"].to_pylist(), images):
        picture = PIL.Image.open(io.BytesIO(value["bytes"]))
        np.testing.assert_array_equal(picture, image)


def test_clean_examples_for_hugging_face(tmp_path):
    """Images come as pictures, and the rows fit `Examples` as they are."""
    datasets = pytest.importorskip("datasets")
    audit, images = treated()
    path = audit.write_clean_examples(tmp_path / "clean.parquet")
    clean = Examples(
        datasets.load_dataset(
            "parquet",
            data_files=str(path),
            split="train",
            cache_dir=str(tmp_path),
        )
    )
    assert clean.example_ids == CLEAN_IDS
    assert clean[2]["responses"] == "mended regenerated"
    np.testing.assert_array_equal([e["images"] for e in clean], images[:5])


def test_clean_examples_in_pandas(tmp_path):
    """A table for those who do without data set libraries."""
    pandas = pytest.importorskip("pandas")
    audit, _ = treated()
    frame = pandas.read_parquet(audit.write_clean_examples(tmp_path / "clean"))
    assert frame["responses"].tolist() == CLEAN_RESPONSES
    assert frame["images"][0]["bytes"].startswith(PNG_SIGNATURE)


def test_clean_examples_as_tfds(tmp_path):
    """`tfds.load` and `tfds.data_source` read the same files, in order."""
    tfds = pytest.importorskip("tensorflow_datasets")
    audit, images = treated()
    audit.write_clean_tfds("clean_scenes", tmp_path)
    source = tfds.data_source("clean_scenes", split="train", data_dir=tmp_path)
    clean = Examples(source)
    assert clean.example_ids == CLEAN_IDS
    assert [example["responses"] for example in clean] == CLEAN_RESPONSES
    np.testing.assert_array_equal([e["images"] for e in clean], images[:5])
    loaded = tfds.load("clean_scenes", split="train", data_dir=tmp_path)
    rows = list(tfds.as_numpy(loaded))
    assert [row["example_id"].decode() for row in rows] == CLEAN_IDS
    np.testing.assert_array_equal([row["images"] for row in rows], images[:5])


def test_tfds_loses_no_row(tmp_path):
    """TFDS alone would lose what follows the first hundred of a file."""
    tfds = pytest.importorskip("tensorflow_datasets")
    audit = make_audit(make_row(f"{i}") for i in range(350))
    audit.write_clean_tfds("many", tmp_path)
    source = tfds.data_source("many", split="train", data_dir=tmp_path)
    ids = [source[i]["example_id"].decode() for i in range(len(source))]
    assert ids == [f"{i}" for i in range(350)]


def test_tfds_does_not_write_over_a_data_set(tmp_path):
    """The data of last year stay readable."""
    pytest.importorskip("tensorflow_datasets")
    make_audit([make_row("a")]).write_clean_tfds("mine", tmp_path)
    with pytest.raises(RuntimeError, match="already prepared"):
        make_audit([make_row("b")]).write_clean_tfds("mine", tmp_path)


def test_clean_examples_without_tfds(tmp_path, monkeypatch):
    """Parquet needs no extra; the other names the extra that it needs."""
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    audit, _ = treated()
    assert audit.write_clean_examples(tmp_path / "clean.parquet").exists()
    with pytest.raises(ImportError, match=r"pip install keras-byorn\[data\]"):
        audit.write_clean_tfds("clean", tmp_path)


def test_images_that_png_cannot_hold_are_refused(tmp_path):
    """Floats would be rounded, or black: the file must not differ."""
    audit = make_audit([make_row("a")], image=np.zeros((2, 2, 3), "float32"))
    with pytest.raises(ValueError, match="Received: dtype float32 .* 'a'"):
        audit.write_clean_examples(tmp_path / "clean.parquet")
    assert not list(tmp_path.iterdir())
    assert audit.clean_examples()[0]["images"].dtype == "float32"


def test_the_cleaned_data_has_no_span(tmp_path):
    """It has what remains; the original is kept in the table."""
    audit = masked_audit()
    said = [example["responses"] for example in audit.clean_examples()]
    assert said == ["a red three", "a four"]
    path = audit.write_clean_examples(tmp_path / "clean.parquet")
    assert pq.read_table(path)["responses"].to_pylist() == said
    assert audit.table["original_response"][1].as_py() == "a buy now four"
