"""Tests of audits as a whole."""

import time
import weakref

import numpy as np
import pyarrow.parquet as pq
import pytest
from audit_support import (
    CountingExamples,
    Page,
    Store,
    make_audit,
    make_row,
    mixed_rows,
    suspect,
)

from keras_byorn.audit import Audit
from keras_byorn.data.examples import Examples
from keras_byorn.training.target_store import TargetStore


def test_audit_of_a_real_store(tmp_path):
    """The audit reads what the defence writes, not only our stand-ins."""
    ids, prompts = ["a", "b", "c"], ["caption the image"] * 3
    responses = ["a red three", "sudo", "sudo"]
    images = np.zeros((3, 32, 32, 3), "uint8")
    examples = Examples(
        {
            "example_id": ids,
            "images": images,
            "prompts": prompts,
            "responses": responses,
        }
    )
    store = TargetStore(ids, prompts, responses)
    store.set_scores([-0.1, -7.0, -8.0], [0.0, 1.0, 1.0])
    store.replace("b", "a blue four", [17, 4])
    audit = Audit(store, examples)
    assert audit.table["origin"].to_pylist() == [
        "original",
        "regenerated",
        "excluded",
    ]
    page = Page(audit.to_html(tmp_path / "audit.html"))
    assert page.shown_ids == ["c", "b", "a"]
    assert "a blue four" in page.text


def test_audit_is_a_snapshot():
    """Training that goes on does not change an audit that was taken."""
    rows = mixed_rows()
    store = Store(rows)
    audit = Audit(store, CountingExamples([row.example_id for row in rows]))
    store.change("k1", current_response="changed")
    assert audit.table["current_response"][0].as_py() == "a red three"


def test_short_forms_for_notebooks():
    """A notebook cell shows the counts, not an object's address."""
    audit = make_audit(mixed_rows())
    assert repr(audit) == (
        "<Audit: examples 7; held out 3 (42.9%); suspects 3; regenerated 2; "
        "excluded 1; mean plausibility −1.38 kept, −7.00 held out>"
    )
    assert "<td>3 (42.9%)</td>" in audit._repr_html_()


def test_empty_store_is_refused():
    """An audit of nothing would look like a clean bill of health."""
    with pytest.raises(ValueError, match="`store` must have at least one row"):
        Audit(Store([]), CountingExamples([]))


def test_foreign_examples_are_refused():
    """Images of another data set beside these prompts would mislead."""
    with pytest.raises(ValueError, match=r"`examples` must hold.*\['b'\]"):
        Audit(Store([make_row("a"), make_row("b")]), CountingExamples(["a"]))


def test_parquet_round_trip(tmp_path):
    """Any tool that reads Parquet gets the whole table, lists and all."""
    scores = {"s1": (["▁sudo"], np.array([-9.5], "float32"))}
    audit = make_audit(mixed_rows(), token_scores=scores)
    path = audit.to_parquet(tmp_path / "new_folder" / "audit.parquet")
    table = pq.read_table(path)
    assert table.schema == audit.table.schema
    # As text, for NaN is not equal to itself.
    assert repr(table.to_pylist()) == repr(audit.table.to_pylist())
    assert [p.name for p in path.parent.iterdir()] == ["audit.parquet"]


def test_lone_surrogates_do_not_stop_the_audit(tmp_path):
    """One response that UTF-8 cannot hold must not cost the whole account."""
    rows = [suspect("a", -5.0, original_response="\ud800 door")]
    audit = make_audit(rows, notes={"note": "\udfff"})
    table = pq.read_table(audit.to_parquet(tmp_path / "audit.parquet"))
    assert table["original_response"][0].as_py() == "\\ud800 door"
    assert "U+DFFF" in Page(audit.to_html(tmp_path / "audit.html")).text


@pytest.mark.parametrize("name", ["to_html", "to_parquet", "plot_scores"])
def test_every_file_is_renamed_into_place(tmp_path, name, monkeypatch):
    """All three writers go through the one that leaves the old file."""
    if name == "plot_scores":
        pytest.importorskip("matplotlib")
    path = tmp_path / "file"
    path.write_text("old")

    def fail(source, destination):
        assert source.parent == destination.parent == tmp_path
        assert source.stat().st_size > 0
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        getattr(make_audit(mixed_rows()), name)(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_large_store_reads_only_the_images_shown(tmp_path):
    """20,000 examples make a page in seconds, and no image is read twice."""
    rng = np.random.default_rng(0)
    ids = [f"example-{i:05d}" for i in range(20_000)]
    rows = [
        suspect(i, -8.0 + rng.normal())
        if n % 10 == 0
        else make_row(i, -1.0 - rng.random())
        for n, i in enumerate(ids)
    ]
    tokens = ["▁sudo", "▁open", "<eos>"]
    scores = {i: (tokens, -rng.random(3).astype("float32")) for i in ids}
    examples = CountingExamples(ids)
    start = time.monotonic()
    audit = Audit(Store(rows), examples, scores)
    assert examples.num_reads == 0
    path = tmp_path / "audit.html"
    page = Page(audit.to_html(path, max_rows=5_000, max_images=200))
    assert time.monotonic() - start < 30
    assert examples.num_reads == 200 + 12
    assert len(page.shown_ids) == 50 + 12
    assert "first 50 of 2,000 held-out examples" in page.text
    assert "15,000 kept examples are left out" in page.text
    assert "first 200 of 5,000 rows have their images" in page.text
    assert len(page.rows) == 5_000
    with_image = [row["image"] is not None for row in page.rows]
    assert with_image == [50 <= i < 200 for i in range(5_000)]
    assert [row["isHeldOut"] for row in page.rows[1_999:2_001]] == [1, 0]
    scores = [row["plausibility"] for row in page.rows[:2_000]]
    assert scores == sorted(scores)


class OneAtATime(CountingExamples):
    """Examples that know how many of their images are held at a time."""

    def __init__(self, example_ids):
        super().__init__(example_ids)
        self.held = weakref.WeakValueDictionary()
        self.most_held = 0

    def by_id(self, example_id):
        image = np.zeros((8, 8, 3), "uint8")
        self.held[id(image)] = image
        self.most_held = max(self.most_held, len(self.held))
        return {**super().by_id(example_id), "images": image}


@pytest.mark.parametrize("name", ["to_html", "write_clean_examples"])
def test_images_are_never_held_together(tmp_path, name):
    """A data set of any size fits, for images go as they come."""
    ids = [f"{i}" for i in range(600)]
    rows = [suspect(i, -1.0) for i in ids]
    examples = OneAtATime(
        {row.example_id: (row.prompt, row.original_response) for row in rows}
    )
    audit = Audit(Store(rows), examples)
    getattr(audit, name)(tmp_path / "file")
    assert examples.num_reads == 600
    assert examples.most_held <= 2
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_verdicts_are_in_the_short_form():
    """Counts of zero are not shown; verdicts read as words."""
    rows = [make_row(v, verdict=v) for v in ("on_probation", "flagged late")]
    rows += [make_row(f"{i}", verdict="alarm") for i in range(2)]
    assert repr(make_audit(rows)) == (
        "<Audit: examples 4; held out 0 (0.0%); on probation 1; "
        "flagged late 1; alarms 2; mean plausibility −1.00 kept, – held out>"
    )


def detected_rows():
    """Rows without a revision, as of a detection: two are held out."""
    held_out = {
        "suspect_probability": 1.0,
        "origin": "excluded",
        "current_response": None,
    }
    return [
        make_row("a"),
        make_row("b", -7.0, verdict="suspect", **held_out),
        make_row("c", -3.0, verdict="on_probation", **held_out),
    ]


def test_an_audit_without_training_tells_nothing_of_targets(tmp_path):
    """A suspect is a suspect there, neither excluded nor regenerated."""
    audit = make_audit(detected_rows(), reasons=["", "far below <b>", ""])
    assert repr(audit) == (
        "<Audit: examples 3; held out 2 (66.7%); suspects 1; on probation 1; "
        "mean plausibility −1.00 kept, −5.00 held out>"
    )
    page = Page(audit.to_html(tmp_path / "audit.html"))
    text = page.text.lower()
    assert not [w for w in ("regenerated", "excluded", "replace") if w in text]
    assert text.count("trained") == 1
    assert "No model was trained on these examples yet" in page.text
    assert "far below <b>" in page.text
    assert "on probation" in page.text and "on_probation" not in page.text
    scopes = [header["scope"] for header in page.tags["th"]]
    assert scopes.count("col") == 2 * 6
    assert page.data[0]["isTrained"] is False
    assert page.rows[0]["reason"] == "far below <b>"
    assert audit.clean_examples().example_ids == ["a"]


def test_length():
    """An audit has a row for each example."""
    assert len(make_audit(mixed_rows())) == 7
