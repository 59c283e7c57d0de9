"""Plots of the scores: a histogram, and the review by the student."""

import dataclasses

import numpy as np
import pyarrow as pa

AXIS_LABEL = "plausibility (low = implausible)"
KEPT_COLOR = "#4a7fb0"
SUSPECT_COLOR = "#d9622b"


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Histogram of the plausibility of kept examples and suspects.

    Attributes:
        edges: float array, `(num_bins + 1,)`, in the scorer's unit.
        kept: int array, `(num_bins,)`. Kept examples in each bin.
        suspects: int array, `(num_bins,)`. Suspects in each bin.
        boundary: `(low, high)` in that unit: the span between the most
            plausible suspect and the least plausible kept example. `None`
            unless there are both.
        is_separate: bool. Whether every kept example is more plausible than
            every suspect. The threshold then lies within `boundary`;
            otherwise the two overlap there.
    """

    edges: np.ndarray
    kept: np.ndarray
    suspects: np.ndarray
    boundary: tuple[float, float] | None
    is_separate: bool

    @property
    def boundary_label(self):
        if self.is_separate:
            return "threshold"
        return "kept and suspects overlap"


def score_histogram(table, num_bins=48):
    """Counts kept examples and suspects by plausibility.

    Args:
        table: `pyarrow.Table` from `build_table()`.
        num_bins: integer. Defaults to `48`.

    Returns:
        `Histogram` of the examples with a finite score, or `None` without
        any.
    """
    plausibility = table["plausibility"].to_numpy().astype("float64")
    is_suspect = table["is_suspect"].to_numpy()
    is_scored = np.isfinite(plausibility)
    if not is_scored.any():
        return None
    kept = plausibility[is_scored & ~is_suspect]
    suspects = plausibility[is_scored & is_suspect]
    edges = np.histogram_bin_edges(plausibility[is_scored], num_bins)
    boundary, is_separate = None, False
    if len(kept) and len(suspects):
        boundary = tuple(sorted((float(suspects.max()), float(kept.min()))))
        is_separate = bool(suspects.max() <= kept.min())
    return Histogram(
        edges=edges,
        kept=np.histogram(kept, edges)[0],
        suspects=np.histogram(suspects, edges)[0],
        boundary=boundary,
        is_separate=is_separate,
    )


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
        figure.set_size_inches(12, 3.6)
        axes, beside = figure.subplots(1, 2, width_ratios=(2, 1))
        _draw_review(beside, table.filter(pa.array(reviewed)))
    else:
        axes = figure.add_subplot()
    axes.set_xlabel(AXIS_LABEL)
    axes.set_ylabel("examples")
    axes.spines[["top", "right"]].set_visible(False)
    histogram = score_histogram(table)
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
    """Stacks the kept examples upon the suspects."""
    for name, counts, bottom, color in (
        ("suspects", histogram.suspects, 0, SUSPECT_COLOR),
        ("kept", histogram.kept, histogram.suspects, KEPT_COLOR),
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
    """Shades the span in which the threshold lies."""
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
    is_suspect = table["is_suspect"].to_numpy()
    reference = table["plausibility"].to_numpy()
    student = table["student_plausibility"].to_numpy()
    for name, color, chosen in (
        ("kept", KEPT_COLOR, ~is_suspect),
        ("suspects", SUSPECT_COLOR, is_suspect),
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
