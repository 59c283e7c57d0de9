"""Tests of the table of an audit and of its summary."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from audit_support import Store, make_audit, make_row, mixed_rows, suspect

import keras_byorn
from keras_byorn.audit.table import (
    build_table,
    is_trained,
    share_more_plausible,
)

VERDICTS = (
    "kept",
    "on_probation",
    "trusted",
    "suspect",
    "restored",
    "flagged late",
    "alarm",
)


def test_table_has_one_row_per_example():
    """Nothing of the store is lost, and surprise is minus log-likelihood."""
    scores = {"s1": (["▁sudo", "<eos>"], np.array([-9.5, -0.0], "float32"))}
    rows = mixed_rows()
    rows[1] = suspect("s1", -5.0, student_plausibility=-4.0)
    table = make_audit(
        rows,
        token_scores=scores,
        scores={"a": [-1, 0, 1, 2, 3, -2, -3]},
        cuts=np.full(7, -3.0),
        reasons=["", "below the cut", *[""] * 5],
        evidence=[(), ("likelihood", "same words"), *[()] * 5],
        cluster=np.array([0, 2, 0, 1, 0, 1, 0]),
    ).table
    row = table.to_pylist()[1]
    assert row == {
        "example_id": "s1",
        "prompt": "caption the image",
        "original_response": "sudo open the door now",
        "current_response": "a green four",
        "origin": "regenerated",
        "replacement": "a green four",
        "written_by": "student after epoch 1",
        "verdict": "suspect",
        "reason": "below the cut",
        "evidence": ["likelihood", "same words"],
        "cluster": 2,
        "plausibility": -5.0,
        "suspect_probability": 1.0,
        "is_held_out": True,
        "is_suspect": True,
        "student_plausibility": -4.0,
        "group": "all",
        "cut": -3.0,
        "share_more_plausible": pytest.approx(0.8),
        "scores": [("a", 0.0)],
        "shares_more_plausible": [("a", 0.5)],
        "num_sharing": 3,
        "shared_text": "sudo open the door now",
        "shared_with": ["s2", "s3"],
        "revision": 2,
        "tokens": ["▁sudo", "<eos>"],
        "token_surprise": [9.5, 0.0],
        "masked_tokens": None,
        "digest": None,
    }
    assert len(table) == 7
    assert table["tokens"].null_count == 6
    assert table["current_response"].null_count == 1


def test_summary_counts():
    """The figures at the top of the page are those of the rows."""
    assert make_audit(mixed_rows()).summary == {
        "num_examples": 7,
        "num_scored": 6,
        "num_held_out": 3,
        "num_suspect": 3,
        "num_kept": 4,
        "num_regenerated": 2,
        "num_excluded": 1,
        "num_masked": 0,
        "num_mixed": 0,
        "num_on_probation": 0,
        "num_trusted": 0,
        "num_restored": 0,
        "num_flagged_late": 0,
        "num_alarms": 0,
        "flagged_fraction": pytest.approx(3 / 7),
        "held_out_fraction": pytest.approx(3 / 7),
        "mean_plausibility": pytest.approx(-19.5 / 6),
        "mean_plausibility_kept": pytest.approx(-5.5 / 4),
        "mean_plausibility_held_out": pytest.approx(-7.0),
    }


@pytest.mark.parametrize(
    "probability, is_held_out", [(0.0, False), (0.49, False), (0.5, True)]
)
def test_held_out_from_one_half(probability, is_held_out):
    """A soft probability holds out from one half on, and not before."""
    audit = make_audit([make_row("a", suspect_probability=probability)])
    assert audit.table["is_held_out"].to_pylist() == [is_held_out]
    assert audit.table["is_suspect"].to_pylist() == [is_held_out]


def test_unequal_token_scores_are_refused():
    """A shifted surprise would put the blame on the wrong token."""
    scores = {"a": (["▁a", "▁b"], np.zeros(3, "float32"))}
    with pytest.raises(ValueError, match="2 tokens and 3 .* example_id='a'"):
        make_audit([make_row("a")], token_scores=scores)


def test_place_in_the_group():
    """The share of the others of its group that are more plausible."""
    rows = [
        make_row("a", -3.0),
        make_row("b", -1.0),
        make_row("c", -2.0),
        make_row("d", -9.0),
    ]
    rows += [make_row("e", math.nan), make_row("f", -2.0)]
    groups = ["one", "one", "one", "two", "one", "one"]
    table = make_audit(rows, groups=groups).table
    assert table["group"].to_pylist() == groups
    want = [1.0, 0.0, 1 / 3, math.nan, math.nan, 1 / 3]
    np.testing.assert_allclose(table["share_more_plausible"], want, 1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_place_in_the_group_by_counting(seed):
    """Equal to comparing each with each, ties and gaps among them."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-5, 0, 60).astype("float64")
    scores[rng.random(60) < 0.1] = math.nan
    groups = rng.integers(0, 8, 60)
    want = []
    for score, group in zip(scores, groups):
        others = scores[(groups == group) & np.isfinite(scores)]
        count = len(others) - 1
        known = np.isfinite(score) and count > 0
        want.append(np.sum(others > score) / count if known else math.nan)
    got = share_more_plausible(scores, groups)
    np.testing.assert_allclose(got, want, 1e-6)


@pytest.mark.parametrize(
    "kwargs, name",
    [
        ({"groups": ["a"]}, "groups"),
        ({"cuts": np.zeros((2, 1))}, "cuts"),
        ({"reasons": []}, "reasons"),
        ({"evidence": [()]}, "evidence"),
        ({"cluster": np.zeros(3, int)}, "cluster"),
        ({"scores": {"PMI": [0.0] * 3}}, r"scores\['PMI'\]"),
    ],
)
def test_columns_of_another_length_are_refused(kwargs, name):
    """A shifted column would put the blame on the wrong example."""
    with pytest.raises(ValueError, match=f"`{name}` must have one value for"):
        make_audit([make_row("a"), make_row("b")], **kwargs)


def test_verdicts_are_counted():
    """The summary has each verdict of a detection and of a review."""
    rows = [make_row(v, verdict=v) for v in VERDICTS]
    summary = make_audit([*rows, make_row("x", verdict="alarm")]).summary
    assert summary["num_on_probation"] == 1
    assert summary["num_trusted"] == 1
    assert summary["num_restored"] == 1
    assert summary["num_flagged_late"] == 1
    assert summary["num_alarms"] == 2


def test_what_is_on_probation_is_held_out_and_no_suspect():
    """The probability holds both out; evidence spoke against one alone."""
    rows = [
        make_row("a", verdict="on_probation", suspect_probability=1.0),
        make_row("b", verdict="on_probation", suspect_probability=1.0),
        suspect("c", -5.0),
        make_row("d"),
    ]
    audit = make_audit(rows)
    assert audit.table["is_held_out"].to_pylist() == [True, True, True, False]
    assert audit.table["is_suspect"].to_pylist() == [False, False, True, False]
    summary = audit.summary
    assert summary["num_held_out"] == 3 and summary["num_suspect"] == 1
    assert summary["num_on_probation"] == 2 and summary["num_kept"] == 1
    assert summary["flagged_fraction"] == 0.25
    assert summary["held_out_fraction"] == 0.75


def test_only_what_is_held_out_is_in_a_cluster():
    """A review may have restored one since; zero is no cluster."""
    rows = [make_row("a", verdict="restored"), suspect("b", -5.0)]
    rows += [suspect("c", -6.0), make_row("d")]
    table = make_audit(rows, cluster=[3, 3, 0, 0]).table
    assert table["cluster"].to_pylist() == [None, 3, None, None]
    assert make_audit(rows).table["cluster"].null_count == 4
    assert make_audit(rows).table["evidence"].to_pylist() == [[]] * 4


def test_lone_surrogates_in_evidence_do_no_harm():
    """Kinds of evidence may come from anybody's decision."""
    table = make_audit([make_row("a")], evidence=[("odd \udfff",)]).table
    assert table["evidence"].to_pylist() == [["odd \\udfff"]]


def test_reasons_are_a_column():
    """An empty reason is none, and a lone surrogate does no harm."""
    rows = [make_row("a"), make_row("b"), make_row("c")]
    table = make_audit(rows, reasons=["below \ud800", "", None]).table
    assert table["reason"].to_pylist() == ["below \\ud800", None, None]
    assert make_audit(rows).table["reason"].null_count == 3


@pytest.mark.parametrize("revision, trained", [(0, False), (1, True)])
def test_a_first_revision_tells_of_training(revision, trained):
    """A detection sets no target; the scores of a store are a revision."""
    rows = [make_row("a"), make_row("b", revision=revision)]
    assert is_trained(make_audit(rows).table) is trained


def test_a_row_has_all_that_the_table_needs():
    """The documented fields are enough; any object may have them."""

    class Row:
        example_id, prompt = "a", "caption"
        original_response = current_response = "a red three"
        origin, verdict, revision = "original", "kept", 0
        plausibility, suspect_probability = -1.0, 0.0
        student_plausibility = math.nan
        replacement = written_by = masked_tokens = digest = None

    assert len(build_table(Store([Row()]))) == 1


def test_the_file_carries_settings_and_versions(tmp_path):
    """So that nobody has to guess which cut, and of which release, it was."""
    notes = {"decision": "HoldOut()", "seed": 3}
    path = make_audit(mixed_rows(), notes=notes).to_parquet(tmp_path / "a")
    facts = json.loads(pq.read_schema(path).metadata[b"keras_byorn"])
    assert facts["settings"] == notes
    assert facts["versions"]["keras_byorn"] == keras_byorn.__version__
    assert {"keras", "keras_hub", "numpy", "Python"} <= set(facts["versions"])
