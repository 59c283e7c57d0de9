"""Plots of the scores: a histogram, and the review by the student."""

import dataclasses

import numpy as np

from keras_byorn.audit.html_chart import score_ticks
from keras_byorn.audit.html_numbers import score

# The axis is logarithmic far off, where some score so many times as far from
# zero as nearly all kept examples.
FAR = 5.0
AXIS_LABEL = "plausibility (low = implausible)"
KEPT_COLOR = "#4a7fb0"
HELD_OUT_COLOR = "#d9622b"


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Histogram of the plausibility of what is kept and what is held out.

    Attributes:
        edges: float array, `(num_bins + 1,)`, in the scorer's unit.
        kept: int array, `(num_bins,)`. Kept examples in each bin.
        held_out: int array, `(num_bins,)`. Held-out examples in each bin.
        boundary: `(low, high)` in that unit: the span between the most
            plausible held-out example and the least plausible kept one.
            `None` unless there are both, and where the cut is known.
        is_separate: bool. Whether every kept example is more plausible than
            every held-out one. The threshold then lies within `boundary`;
            otherwise the two overlap there.
        cut: float, the cut that applied to most examples, in that unit.
            `None` if it is not known, or outside of the edges.
        linear_width: float. Up to this distance from zero the axis is about
            linear, and logarithmic beyond. `None` if all of it is linear.
    """

    edges: np.ndarray
    kept: np.ndarray
    held_out: np.ndarray
    boundary: tuple[float, float] | None
    is_separate: bool
    cut: float | None = None
    linear_width: float | None = None

    @property
    def boundary_label(self):
        if self.is_separate:
            return "threshold"
        return "kept and held out overlap"

    def place(self, value):
        """Returns the place of a score on the axis, in any unit."""
        if self.linear_width is None:
            return value
        return np.arcsinh(value / self.linear_width)


def score_histogram(table, num_bins=48):
    """Counts kept and held-out examples by plausibility.

    Args:
        table: `pyarrow.Table` from `build_table()`.
        num_bins: integer. Defaults to `48`.

    Returns:
        `Histogram` of the examples with a finite score, or `None` without
        any.
    """
    plausibility = table["plausibility"].to_numpy().astype("float64")
    held_out = table["is_held_out"].to_numpy()
    is_scored = np.isfinite(plausibility)
    if not is_scored.any():
        return None
    kept = plausibility[is_scored & ~held_out]
    held_out = plausibility[is_scored & held_out]
    scored = plausibility[is_scored]
    width = _linear_width(scored, kept if len(kept) else scored)
    edges = _edges(scored, num_bins, width)
    cut = _usual_cut(table, edges)
    boundary, is_separate = None, False
    if cut is None and len(kept) and len(held_out):
        boundary = tuple(sorted((float(held_out.max()), float(kept.min()))))
        is_separate = bool(held_out.max() <= kept.min())
    return Histogram(
        edges=edges,
        kept=np.histogram(kept, edges)[0],
        held_out=np.histogram(held_out, edges)[0],
        boundary=boundary,
        is_separate=is_separate,
        cut=cut,
        linear_width=width,
    )


def _linear_width(scored, kept):
    """Returns how far the axis is linear, or `None` if nothing is far off."""
    width = float(np.abs(np.percentile(kept, [1, 99])).max())
    return width if 0 < width < np.abs(scored).max() / FAR else None


def _edges(scored, num_bins, width):
    """Returns edges of bins that are equally wide on the axis."""
    if width is None:
        return np.histogram_bin_edges(scored, num_bins)
    places = np.histogram_bin_edges(np.arcsinh(scored / width), num_bins)
    edges = np.sinh(places) * width
    # Not off by a rounding.
    edges[0], edges[-1] = scored.min(), scored.max()
    return edges


def _usual_cut(table, edges):
    """Returns the cut of most examples, if it is within the edges."""
    cuts = table["cut"].to_numpy().astype("float64")
    values, counts = np.unique(cuts[np.isfinite(cuts)], return_counts=True)
    if not len(values):
        return None
    cut = float(values[counts.argmax()])
    return cut if edges[0] <= cut <= edges[-1] else None


def plot_scores(table):
    """Draws the histogram of the scores, and the review beside it.

    Args:
        table: `pyarrow.Table` from `build_table()`.

    Returns:
        `matplotlib.figure.Figure`, unknown to pyplot, so that it need not be
        closed.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure = _new_figure()
    reviewed = np.isfinite(table["student_plausibility"].to_numpy())
    reviewed &= np.isfinite(table["plausibility"].to_numpy())
    if reviewed.any():
        import pyarrow as pa

        figure.set_size_inches(12, 3.6)
        axes, beside = figure.subplots(1, 2, width_ratios=(2, 1))
        _draw_review(beside, table.filter(pa.array(reviewed)))
    else:
        axes = figure.add_subplot()
    axes.set_xlabel(AXIS_LABEL)
    axes.set_ylabel("examples")
    axes.spines[["top", "right"]].set_visible(False)
    histogram = score_histogram(table)
    if histogram is not None and histogram.linear_width is not None:
        axes.set_xscale("asinh", linear_width=histogram.linear_width)
        axes.set_xlabel(f"{AXIS_LABEL}, logarithmic far off")
        ticks, labels = zip(*score_ticks(histogram, 600, gap=50))
        axes.set_xticks(ticks, labels)
        axes.set_xticks([], minor=True)
    if histogram is None:
        axes.text(0.5, 0.5, "no example was scored", ha="center")
        axes.set(xticks=[], yticks=[])
        return figure
    _draw_bars(axes, histogram)
    _draw_boundary(axes, histogram)
    axes.legend(frameon=False)
    return figure


def _new_figure():
    """Makes an empty figure without pyplot and its global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "`Audit.plot_scores()` needs matplotlib. Install it with "
            "`pip install keras-byorn[plots]`. The histogram in "
            "`Audit.to_html()` does without."
        ) from error
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_bars(axes, histogram):
    """Stacks the kept examples upon those that are held out."""
    for name, counts, bottom, color in (
        ("held out", histogram.held_out, 0, HELD_OUT_COLOR),
        ("kept", histogram.kept, histogram.held_out, KEPT_COLOR),
    ):
        axes.bar(
            histogram.edges[:-1],
            counts,
            np.diff(histogram.edges),
            bottom,
            align="edge",
            color=color,
            # The edge makes a single example visible beside thousands.
            edgecolor=color,
            linewidth=np.where(counts, 0.8, 0.0),
            label=f"{name} ({counts.sum():,})",
        )


def _draw_boundary(axes, histogram):
    """Marks the cut, or shades the span in which the threshold lies."""
    if histogram.cut is not None:
        axes.axvline(
            histogram.cut,
            color="#555",
            linestyle=":",
            label=f"cut {score(histogram.cut)}",
        )
    if histogram.boundary is None:
        return
    low, high = histogram.boundary
    axes.axvspan(
        low,
        high,
        facecolor="#8884",
        edgecolor="#555",
        linestyle=":",
        zorder=0,
        label=histogram.boundary_label,
    )


def _draw_review(axes, table):
    """Draws the plausibility by the student over that by the reference."""
    held_out = table["is_held_out"].to_numpy()
    reference = table["plausibility"].to_numpy()
    student = table["student_plausibility"].to_numpy()
    for name, color, chosen in (
        ("kept", KEPT_COLOR, ~held_out),
        ("held out", HELD_OUT_COLOR, held_out),
    ):
        axes.scatter(
            reference[chosen],
            student[chosen],
            s=6,
            alpha=0.5,
            linewidths=0,
            color=color,
            label=f"{name} ({chosen.sum():,})",
            rasterized=True,
        )
    # The score by the reference is in the unit of the scorer.
    axes.set_xlabel("plausibility, by the reference")
    axes.set_ylabel("by the student, nats per token")
    axes.spines[["top", "right"]].set_visible(False)
