"""Tests of the audit in a notebook."""

import math

from audit_support import clustered_audit, make_audit, make_row, suspect


def test_a_notebook_shows_reason_clusters_and_histogram():
    """Not counts alone, and nothing that loads or runs."""
    shown = clustered_audit(notes={"reason": "two <groups>"})._repr_html_()
    assert "<td>7 (77.8%)</td>" in shown
    assert "<p>two &lt;groups&gt;</p>" in shown
    assert "same words: buy it" in shown and "odd caption 0" in shown
    assert shown.count("<svg") == 1
    assert shown.count('class="suspects"') == shown.count("<g>") > 3
    assert not [w for w in ("script", "http", "url(", "src=") if w in shown]


def test_a_notebook_shows_few_clusters_and_says_so():
    """A cell is no page."""
    audit = clustered_audit()
    audit.clusters = audit.clusters * 6
    shown = audit._repr_html_()
    assert shown.count("buy it") == 2 * 4
    assert "and 4 more in <code>audit.clusters</code>" in shown


def test_a_notebook_without_scores_and_clusters():
    """There is nothing to draw."""
    shown = make_audit([make_row("a", math.nan)])._repr_html_()
    assert "<svg" not in shown and "cluster" not in shown
    assert "<td>1</td>" in shown


def test_a_notebook_names_a_logarithmic_axis():
    """The picture would mislead without."""
    rows = [make_row(f"{i}", -1.0) for i in range(9)]
    shown = make_audit([*rows, suspect("s", -90.0)])._repr_html_()
    assert "the axis is logarithmic beyond ±1<" in shown
