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
    assert histogram.suspects.sum() == 2
    assert histogram.boundary == (-5.0, -2.5)
    assert histogram.boundary_label == "threshold"


def test_histogram_tells_overlap_from_a_threshold():
    """No threshold is drawn if scores alone did not decide."""
    rows = [make_row("a", -6.0), make_row("b", -1.0), suspect("c", -4.0)]
    histogram = score_histogram(make_audit(rows).table)
    assert histogram.boundary == (-6.0, -4.0)
    assert histogram.boundary_label == "kept and suspects overlap"


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
