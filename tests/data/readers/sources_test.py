"""Tables of folders, labels of frames, data sets by name."""

import sys
import types

import numpy as np
import pytest

from keras_byorn.data.readers import sources


def test_the_table_of_a_folder(tmp_path):
    """`metadata` first, else the only one."""
    (tmp_path / "captions.tsv").write_text("image\tcaption\n")
    assert sources.folder_table(tmp_path).name == "captions.tsv"
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="one table.*captions.tsv.*notes.txt"):
        sources.folder_table(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,text\n")
    assert sources.folder_table(tmp_path).name == "metadata.csv"
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(ValueError, match="metadata.jsonl', 'metadata.csv"):
        sources.folder_table(tmp_path)
    with pytest.raises(ValueError, match="`from_jsonl` or `from_csv`"):
        sources.folder_table(tmp_path / "captions.tsv")


def test_a_folder_of_splits_names_them(tmp_path):
    """As Hugging Face lays them out."""
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "metadata.jsonl").write_text("")
    with pytest.raises(ValueError, match="test', '.*train'"):
        sources.folder_table(tmp_path)


def test_a_hub_data_set_by_name(monkeypatch):
    """It is loaded with what was asked for, and named by it."""
    calls = []

    def load_dataset(*args, **kwargs):
        calls.append((args, kwargs))
        return [{"caption": "a"}]

    fake = types.SimpleNamespace(load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    rows = sources.hub_rows("you/data", "train", "en", "v1")
    assert calls == [(("you/data", "en"), {"split": "train", "revision": "v1"})]
    assert rows.ids[0] == "you/data/train/0" and len(rows) == 1


def test_a_split_that_is_not_there():
    """The error has those that are."""
    split = types.SimpleNamespace(num_rows=1)
    with pytest.raises(ValueError, match=r"'dev' for \['test', 'train'\]"):
        sources.hub_rows({"train": split, "test": split}, "dev")


def test_a_dict_of_columns_is_a_frame():
    """With the numbers of rows for ids."""
    rows = sources.frame_rows({"caption": np.array(["a", "b"])})
    assert rows.ids == ["0", "1"] and rows.source[1] == {"caption": "b"}
    assert rows.place(1) == "row 1 of a dict"
