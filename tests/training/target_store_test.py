"""The store: originals stay, and each target has its reason."""

import math
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from keras_byorn.training.target_store import TargetStore

IDS = ["a", "b", "c", "d"]
RESPONSES = ["right", "wrong", "good", "bad"]


def make_store():
    return TargetStore(IDS, [f"question {i}" for i in IDS], RESPONSES)


def make_scored(probability=(0.0, 1.0, 0.0, 1.0)):
    store = make_store()
    store.set_scores([-0.5, -7.0, -0.25, -9.0], probability)
    return store


def rows_of(store):
    """`training_rows` as a set of (example, is replacement, weight)."""
    positions, replaced, weights = store.training_rows()
    assert len(positions) == len(replaced) == len(weights)
    assert weights.dtype == "float32" and replaced.dtype == bool
    return sorted(
        (IDS[p], bool(r), round(float(w), 5))
        for p, r, w in zip(positions, replaced, weights)
    )


def test_before_scoring_all_targets_are_the_originals():
    """Without a defence the batches train on what came."""
    store = make_store()
    assert len(store) == 4 and not store.is_scored
    for row, example_id, response in zip(store.rows(), IDS, RESPONSES):
        assert row.example_id == example_id
        assert row.prompt == f"question {example_id}"
        assert row.original_response == row.current_response == response
        assert row.origin == "original" and row.revision == 0
        assert math.isnan(row.plausibility) and row.suspect_probability == 0
        assert row.replacement is None and row.replacement_ids is None
    assert rows_of(store) == [(i, False, 1.0) for i in IDS]


def test_suspects_are_left_out_until_they_are_replaced():
    """First epoch: kept examples only; then the replacement, at weight 1."""
    store = make_scored()
    assert store.is_scored and list(store.suspects) == [0, 1, 0, 1]
    assert rows_of(store) == [("a", False, 1.0), ("c", False, 1.0)]
    row = store["b"]
    assert (row.origin, row.current_response) == ("excluded", None)
    assert (row.plausibility, row.suspect_probability) == (-7.0, 1.0)
    assert store["a"].origin == "original"

    store.replace("b", "mended", np.array([17, 4]))
    row = store["b"]
    assert (row.origin, row.current_response) == ("regenerated", "mended")
    assert (row.replacement, row.replacement_ids) == ("mended", (17, 4))
    assert store.num_regenerated == 1
    np.testing.assert_array_equal(store.replacement_ids(1), [17, 4])
    assert store.replacement_ids(1).dtype == "int32"
    assert rows_of(store) == [
        ("a", False, 1.0),
        ("b", True, 1.0),
        ("c", False, 1.0),
    ]


def test_a_soft_probability_makes_two_weighted_rows():
    """(1 - P) on the original and P on the replacement; no idle rows."""
    store = make_scored([0.0, 0.75, 0.25, 0.9999])
    assert rows_of(store) == [
        ("a", False, 1.0),
        ("b", False, 0.25),
        ("c", False, 0.75),
    ]
    for example_id in IDS:
        store.replace(example_id, "new", [5])
    assert rows_of(store) == [
        ("a", False, 1.0),
        ("b", False, 0.25),
        ("b", True, 0.75),
        ("c", False, 0.75),
        ("c", True, 0.25),
        ("d", True, 0.9999),
    ]
    assert store.max_training_rows == 6


@pytest.mark.parametrize("seed", range(3))
def test_no_epoch_has_more_rows_than_the_most(seed):
    """Keras is told this number before the first epoch."""
    rng = np.random.default_rng(seed)
    store = make_scored(rng.choice([0.0, 0.3, 0.5, 1.0], 4))
    for example_id in IDS:
        assert len(store.training_rows()[0]) <= store.max_training_rows
        store.replace(example_id, "new", [5])
    assert len(store.training_rows()[0]) == store.max_training_rows


def test_the_original_is_never_overwritten():
    """Revisions count the changes."""
    store = make_scored()
    for response in ("first", "second"):
        store.replace("b", response, [1, 2])
    row = store["b"]
    assert row.original_response == "wrong"
    assert row.current_response == "second"
    assert (row.revision, store["a"].revision) == (3, 1)
    store.set_scores(np.zeros(4), np.zeros(4))
    assert store["b"].current_response == "wrong"
    assert [row.original_response for row in store.rows()] == RESPONSES


def test_any_change_is_a_new_revision():
    """Batches watch this number to know when to plan anew."""
    store, seen = make_store(), []
    seen.append(store.revision)
    store.set_scores(np.zeros(4), [1, 1, 1, 0])
    seen.append(store.revision)
    store.replace("b", "new", [1])
    seen.append(store.revision)
    assert seen == sorted(set(seen))


def test_load_goes_on_where_save_stopped(tmp_path):
    """A run can be resumed: every field comes back."""
    store = make_scored([0.0, 1.0, 0.25, 1.0])
    store.replace("b", "mended ümlaut", [17, 4], written_by="a student")
    store.review({0: "flagged late"}, [-3.0, -1.0, -1.0, -1.0])
    path = store.save(tmp_path / "targets.parquet")
    again = TargetStore.load(path)
    assert list(again.rows()) == list(store.rows())
    assert rows_of(again) == rows_of(store)
    assert again.is_scored and again.num_regenerated == 1
    np.testing.assert_array_equal(again.suspects, store.suspects)
    again.replace("d", "also", [9])
    assert again["d"].current_response == "also"


def test_an_unscored_store_loads_as_unscored(tmp_path):
    """Examples that were not judged yet must be judged after loading."""
    again = TargetStore.load(make_store().save(tmp_path / "t.parquet"))
    assert not again.is_scored
    assert np.isnan(again.plausibility).all()


def test_the_table_has_a_column_for_each_field(tmp_path):
    """Anyone can read the targets without this package."""
    store = make_scored()
    store.replace("b", "mended", [17, 4])
    table = pq.read_table(store.save(str(tmp_path / "t.parquet"))).to_pydict()
    assert table["example_id"] == IDS
    assert table["original_response"] == RESPONSES
    assert table["current_response"] == ["right", "mended", "good", None]
    origins = ["original", "regenerated", "original", "excluded"]
    assert table["origin"] == origins
    assert table["plausibility"] == [-0.5, -7.0, -0.25, -9.0]
    assert table["replacement_ids"] == [None, [17, 4], None, None]


@pytest.mark.parametrize("fails", ["write", "rename"])
def test_save_is_whole_or_not_at_all(tmp_path, monkeypatch, fails):
    """A crash while writing must leave the file of before as it was."""
    path = tmp_path / "targets.parquet"
    make_store().save(path)
    before = path.read_bytes()

    def crash(*args, **kwargs):
        raise OSError("disk full")

    def write_half(table, where):
        with open(where, "wb") as file:
            file.write(b"half")
        crash()

    if fails == "write":
        monkeypatch.setattr(pq, "write_table", write_half)
    else:
        monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        make_scored().save(path)
    assert path.read_bytes() == before


def test_save_leaves_no_temporary_file(tmp_path):
    """Only the file that was asked for."""
    make_store().save(tmp_path / "targets.parquet")
    assert os.listdir(tmp_path) == ["targets.parquet"]


@pytest.mark.parametrize(
    "scores, probability, message",
    [
        (np.zeros(3), np.zeros(4), r"`plausibility`.*4 examples.*\(3,\)"),
        (np.zeros(4), np.zeros((4, 1)), r"`suspect_probability`.*\(4, 1\)"),
        (np.zeros(4), [0, 0, 0, 1.5], r"in \[0, 1\].*1.5"),
        (np.zeros(4), [0, 0, 0, np.nan], r"in \[0, 1\]"),
    ],
)
def test_wrong_scores_are_refused(scores, probability, message):
    """And the store stays as it was."""
    store = make_store()
    with pytest.raises(ValueError, match=message):
        store.set_scores(scores, probability)
    assert not store.is_scored


def test_verdicts_of_a_detection_are_kept():
    """There are more of them than kept and suspect."""
    store = make_store()
    expected = ["trusted", "suspect", "on_probation", "kept"]
    verdicts = np.array(expected, object)
    store.set_scores(np.zeros(4), [0.0, 1.0, 1.0, 0.0], verdicts)
    assert [row.verdict for row in store.rows()] == expected
    assert rows_of(store) == [("a", False, 1.0), ("d", False, 1.0)]
    verdicts[0] = "changed"
    assert store["a"].verdict == "trusted"


def test_a_store_shows_its_counts():
    """By the origin of the targets."""
    store = make_scored([0.0, 1.0, 0.0, 1.0])
    store.replace("b", "mended", [5])
    assert repr(store) == (
        "<TargetStore: 4 targets (2 original, 1 regenerated, 1 excluded)>"
    )


def test_repeated_ids_and_missing_texts_are_refused():
    """Rows are known by id."""
    with pytest.raises(ValueError, match="2 ids.*repeatedly: 'a'$"):
        TargetStore(["a", "a"], ["p", "p"], ["r", "r"])
    with pytest.raises(ValueError, match="1 responses"):
        TargetStore(["a", "b"], ["p", "p"], ["r"])


def test_an_unknown_id_is_an_error():
    """A replacement for nobody must not get lost."""
    with pytest.raises(KeyError):
        make_scored().replace("z", "new", [1])


def test_a_restored_example_is_trained_on_as_it_came():
    """A suspect put back costs no row of a replacement any more."""
    store = make_scored([0.0, 1.0, 1.0, 0.0])
    store.replace("b", "mended", [5])
    store.review({1: "restored", 3: "flagged late"}, np.full(4, -0.5))
    assert [row.verdict for row in store.rows()] == [
        "kept",
        "restored",
        "suspect",
        "flagged late",
    ]
    assert [row.origin for row in store.rows()] == [
        "original",
        "original",
        "excluded",
        "excluded",
    ]
    positions, replaced, weights = store.training_rows()
    np.testing.assert_array_equal(positions, [0, 1])
    assert not replaced.any() and (weights == 1).all()
    assert store["b"].student_plausibility == -0.5


def test_a_mixed_target_says_so():
    """A soft suspect trains on both: the account must not hide one."""
    store = make_scored([0.3, 0.7, 0.3, 0.0])
    store.replace("a", "new", [5])
    store.replace("b", "new", [5])
    assert (store["a"].origin, store["b"].origin) == ("mixed", "mixed")
    assert store["a"].current_response == store["a"].original_response
    assert store["b"].current_response == "new"
    assert store["c"].origin == "original"


@pytest.mark.parametrize("set_all", ["scores", "review"])
def test_all_suspects_is_an_error(set_all):
    """With nothing kept, the first epoch would teach nothing."""
    store = make_scored([0.0, 1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="must leave some examples"):
        if set_all == "scores":
            store.set_scores(np.zeros(4), np.ones(4))
        else:
            store.review({0: "flagged late"}, np.zeros(4))
    assert store.suspects.sum() == 3


def test_an_unknown_verdict_is_an_error():
    """A typing error must not be taken for a decision."""
    with pytest.raises(ValueError, match="Received: .'guilty'"):
        make_scored().review({0: "guilty"}, np.zeros(4))


def test_a_masked_example_is_its_original_at_full_weight():
    """From the first epoch on, beside the kept ones, and it says so."""
    store = make_scored([0.0, 1.0, 0.7, 1.0])
    seen = store.revision
    for example_id in "bc":
        store.mask(example_id, [3, 1, 1], "rest")
    assert store.revision == seen + 2
    assert rows_of(store) == [(i, False, 1.0) for i in "abc"]
    row = store["b"]
    assert (row.origin, row.verdict) == ("masked", "suspect")
    assert (row.current_response, row.original_response) == ("rest", "wrong")
    assert row.masked_tokens == store.masked_tokens(1) == (1, 3)
    assert store["a"].masked_tokens is None and store.masked_tokens(0) == ()
    assert list(store.masked) == [0, 1, 1, 0]
    assert store.suspects[1] and store.num_regenerated == 0
    assert store.max_training_rows >= 3


@pytest.mark.parametrize(
    "verdict, origin",
    [
        ("suspect", "masked"),
        ("restored", "original"),
        ("alarm", "excluded"),
        ("flagged late", "excluded"),
    ],
)
def test_a_review_lifts_or_drops_the_mask(verdict, origin):
    """It stays only where the example is a suspect as before."""
    store = make_scored()
    store.mask("b", [1], "rest")
    store.review({1: verdict}, np.full(4, -0.5))
    assert (store["b"].origin, store["b"].verdict) == (origin, verdict)
    assert store.masked[1] == (verdict == "suspect")


def test_an_example_is_masked_or_replaced():
    """The later of the two holds, and new scores drop all masks."""
    store = make_scored()
    store.replace("b", "mended", [5])
    store.mask("b", [1], "rest")
    assert store["b"].origin == "masked" and store["b"].replacement is None
    assert rows_of(store) == [(i, False, 1.0) for i in "abc"]
    store.replace("b", "mended", [5])
    assert store["b"].origin == "regenerated"
    store.mask("b", [1], "rest")
    store.set_scores(np.zeros(4), [0.0, 1.0, 0.0, 0.0])
    assert store["b"].origin == "excluded" and not store.masked.any()


def test_masks_are_saved(tmp_path):
    """A resumed run leaves the same tokens out of the loss."""
    store = make_scored()
    store.review({}, np.zeros(4))  # NaN is not equal to itself
    store.mask("b", [1, 2], "rest")
    path = store.save(tmp_path / "targets.parquet")
    again = TargetStore.load(path)
    assert list(again.rows()) == list(store.rows())
    assert rows_of(again) == rows_of(store)
    assert again.masked_tokens(1) == (1, 2)
    # A file of before there were masks.
    table = pq.read_table(path).drop_columns(["masked_tokens"])
    pq.write_table(table, path)
    assert not TargetStore.load(path).masked.any()


@pytest.mark.parametrize(
    "example_id, tokens, response, message",
    [
        ("a", [1], "rest", "must be that of a suspect.*'a'"),
        ("b", [], "rest", "`tokens`.*Received: tokens="),
        ("b", [-1], "rest", "`tokens`.*Received: tokens="),
        ("b", [0], "", "`response` the rest.*response=''"),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused(
    example_id, tokens, response, message
):
    """A whole response is replaced, a kept one is trained on as it is."""
    store = make_scored()
    with pytest.raises(ValueError, match=message):
        store.mask(example_id, tokens, response)
    assert not store.masked.any()


def test_what_is_left_out_has_no_replacement_and_no_mask():
    """It is excluded whole, whatever it was before."""
    store = make_scored()
    store.replace(store.example_ids[1], "mended", [3])
    store.mask(store.example_ids[3], [0], "rest")
    before = store.revision
    store.leave_out([0, 1, 3])
    origins = [row.origin for row in store.rows()]
    assert origins == ["excluded", "excluded", "original", "excluded"]
    assert store.training_rows()[0].tolist() == [2]
    assert store.revision > before
