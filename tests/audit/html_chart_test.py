"""Tests of the histogram in pixels."""

import numpy as np

from keras_byorn.audit.html_chart import histogram_chart
from keras_byorn.audit.plots import Histogram


def test_bars_and_ticks_are_placed_in_pixels():
    """Heights are in proportion, but a single example stays visible."""
    histogram = Histogram(
        edges=np.array([-4.0, -3.0, -2.0, -1.0, 0.0]),
        kept=np.array([0, 0, 0, 1000]),
        suspects=np.array([1, 0, 500, 0]),
        boundary=(-2.0, -1.0),
        is_separate=True,
    )
    chart = histogram_chart(histogram, width=400, height=200)
    bars = [
        (b["x"], b["width"], b["kept"], b["suspects"]) for b in chart["bars"]
    ]
    assert bars == [(0, 100, 0, 2), (200, 100, 0, 100), (300, 100, 200, 0)]
    assert chart["bars"][0]["title"] == "−4.00 to −3.00: 0 kept, 1 suspects"
    assert chart["x_ticks"][::4] == [(0, "−4"), (200, "−2"), (400, "0")]
    assert chart["y_ticks"] == [(200, "0"), (100, "500"), (0, "1,000")]
    assert chart["boundary"] == (200, 300)
    assert chart["boundary_label"] == "threshold"
