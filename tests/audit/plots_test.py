"""Tests of the histogram and of the plot."""

import math
import sys

import numpy as np
import pytest
from audit_support import (
    PNG_SIGNATURE,
    Page,
    make_audit,
    make_row,
    mixed_rows,
    suspect,
)

from keras_byorn.audit.plots import score_histogram


def test_histogram_counts_every_scored_example():
    """No score falls out of the picture, the least and greatest included."""
    histogram = score_histogram(make_audit(mixed_rows()).table)
    assert histogram.kept.sum() == 4
    assert histogram.held_out.sum() == 2
    assert histogram.boundary == (-5.0, -2.5)
    assert histogram.boundary_label == "threshold"


def test_histogram_tells_overlap_from_a_threshold():
    """No threshold is drawn if scores alone did not decide."""
    rows = [make_row("a", -6.0), make_row("b", -1.0), suspect("c", -4.0)]
    histogram = score_histogram(make_audit(rows).table)
    assert histogram.boundary == (-6.0, -4.0)
    assert histogram.boundary_label == "kept and held out overlap"


@pytest.mark.parametrize(
    "scores",
    [[-1.0], [-1.0, -1.0], [-1.0, np.nextafter(np.float32(-1), 0)], [0.0]]
    + [[-math.inf, -1.0]],
)
def test_degenerate_scores_are_drawn(tmp_path, scores):
    """One value, equal values and infinite ones do not stop the account."""
    pytest.importorskip("matplotlib")
    audit = make_audit(make_row(f"{i}", s) for i, s in enumerate(scores))
    assert Page(audit.to_html(tmp_path / "audit.html")).tags["rect"]
    audit.plot_scores(tmp_path / "scores.png")


@pytest.mark.parametrize("plausibility", [-1.0, math.nan])
def test_plot_is_a_png(tmp_path, plausibility):
    """The picture is a PNG under any file name."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "scores"
    figure = make_audit([make_row("a", plausibility)]).plot_scores(path)
    assert path.read_bytes().startswith(PNG_SIGNATURE)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "plausibility (low = implausible)"


def test_plot_leaves_pyplot_alone():
    """A service that draws a thousand audits does not leak figures."""
    pytest.importorskip("matplotlib")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    make_audit(mixed_rows()).plot_scores()
    assert not pyplot.get_fignums()


def test_without_matplotlib(tmp_path, monkeypatch):
    """The page needs no matplotlib; the plot names the extra that has it."""
    for name in [m for m in sys.modules if m.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    audit = make_audit(mixed_rows())
    assert Page(audit.to_html(tmp_path / "audit.html")).tags["svg"]
    with pytest.raises(ImportError, match=r"pip install keras-byorn\[plots\]"):
        audit.plot_scores()


def test_review_has_a_panel():
    """After a review, the plot has both plausibilities."""
    pytest.importorskip("matplotlib")
    rows = [make_row("a", -1.0, student_plausibility=-0.5), make_row("b", -2.0)]
    figure = make_audit(rows).plot_scores()
    _, axes = figure.axes
    points = [tuple(p) for c in axes.collections for p in c.get_offsets()]
    assert points == [(-1.0, -0.5)]
    assert axes.get_ylabel() == "by the student, nats per token"


def test_the_axis_is_logarithmic_where_some_lie_far_off():
    """The kept ones would be one bar beside them."""
    kept = [make_row(f"k{i}", -i / 100) for i in range(100)]
    far = score_histogram(make_audit([*kept, suspect("s", -60.0)]).table)
    assert far.linear_width == pytest.approx(0.9801, abs=1e-4)
    assert (far.kept > 0).sum() >= 8
    assert far.kept.sum() == 100 and far.held_out.sum() == 1
    assert (far.edges[0], far.edges[-1]) == (-60.0, 0.0)
    assert far.place(-60.0) == pytest.approx(-np.arcsinh(60 / 0.9801), 1e-4)
    near = score_histogram(make_audit([*kept, suspect("s", -4.0)]).table)
    assert near.linear_width is None and near.place(-4.0) == -4.0


def test_the_cut_of_most_examples_is_marked():
    """In place of the span in which it may lie."""
    rows = [make_row("a", -1.0), make_row("b", -2.0), suspect("c", -4.0)]
    table = make_audit(rows, cuts=[-3.0, -3.0, -3.5]).table
    histogram = score_histogram(table)
    assert histogram.cut == -3.0 and histogram.boundary is None
    outside = score_histogram(make_audit(rows, cuts=[-9.0] * 3).table)
    assert outside.cut is None and outside.boundary == (-4.0, -2.0)


def test_the_plot_has_the_axis_and_the_cut():
    """As the page has."""
    pytest.importorskip("matplotlib")
    rows = [make_row("a", -1.0), make_row("b", -1.5), suspect("c", -40.0)]
    (axes,) = make_audit(rows, cuts=[-3.0] * 3).plot_scores().axes
    assert axes.get_xscale() == "asinh"
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["−20", "−10", "−5", "−2", "−1"]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert set(labels) == {"cut −3.00", "held out (1)", "kept (2)"}
