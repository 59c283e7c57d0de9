"""Tests of the histogram in pixels."""

import numpy as np

from keras_byorn.audit.html_chart import histogram_chart
from keras_byorn.audit.plots import Histogram


def test_bars_and_ticks_are_placed_in_pixels():
    """Heights are in proportion, but a single example stays visible."""
    histogram = Histogram(
        edges=np.array([-4.0, -3.0, -2.0, -1.0, 0.0]),
        kept=np.array([0, 0, 0, 1000]),
        held_out=np.array([1, 0, 500, 0]),
        boundary=(-2.0, -1.0),
        is_separate=True,
    )
    chart = histogram_chart(histogram, width=400, height=200, gap=25)
    bars = [
        (b["x"], b["width"], b["kept"], b["held_out"]) for b in chart["bars"]
    ]
    assert bars == [(0, 100, 0, 2), (200, 100, 0, 100), (300, 100, 200, 0)]
    assert chart["bars"][0]["title"] == "−4.00 to −3.00: 0 kept, 1 held out"
    assert chart["x_ticks"][::4] == [(0, "−4"), (200, "−2"), (400, "0")]
    assert chart["y_ticks"] == [(200, "0"), (100, "500"), (0, "1,000")]
    assert chart["boundary"] == (200, 300)
    assert chart["mark"] == {"label": "threshold", "x": 250, "anchor": "middle"}
    assert chart["cut"] is None and chart["linear_to"] is None


def test_ticks_of_a_logarithmic_axis_are_round_and_apart():
    """Zero is there, far scores are, and no two labels touch."""
    edges = np.sinh(np.linspace(np.arcsinh(-400), 0, 5)) / 2
    histogram = Histogram(
        edges=edges,
        kept=np.array([0, 0, 0, 9]),
        held_out=np.array([1, 0, 0, 0]),
        boundary=None,
        is_separate=False,
        cut=-0.5,
        linear_width=0.5,
    )
    chart = histogram_chart(histogram, width=400, height=200, gap=80)
    labels = [label for _, label in chart["x_ticks"]]
    assert labels == ["−100", "−10", "−1", "0"]
    places = [place for place, _ in chart["x_ticks"]]
    assert min(np.diff(places)) >= 80
    assert [bar["x"] for bar in chart["bars"]] == [0, 300]
    # The cut is where asinh(1) of asinh(400) is, from the right.
    at = round(400 * (1 - np.arcsinh(1) / np.arcsinh(400)), 1)
    assert chart["cut"] == at
    assert chart["mark"] == {"label": "cut −0.50", "x": at, "anchor": "end"}
    assert chart["linear_to"] == "0.5"
