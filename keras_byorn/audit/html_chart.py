"""Histogram of the audit's page, in pixels of an SVG."""

import math

from keras_byorn.audit.html_numbers import count, score


def histogram_chart(histogram, width=960, height=200):
    """Places the bars and ticks of the histogram in pixels.

    Args:
        histogram: `Histogram`.
        width: integer, pixels of the plot.
        height: integer, pixels of the plot.

    Returns:
        Dict of plain numbers and texts for the template.
    """
    edges = histogram.edges
    low, high = edges[0], edges[-1]
    tallest = (histogram.kept + histogram.suspects).max()

    def x(value):
        return round(float((value - low) / (high - low) * width), 1)

    def tall(number):
        # Even a single example must be visible.
        pixels = float(number / tallest * height)
        return round(max(pixels, 2.0), 1) if number else 0

    return {
        "width": width,
        "height": height,
        "bars": [
            {
                "x": x(edges[i]),
                "width": x(edges[i + 1]) - x(edges[i]),
                "kept": tall(kept),
                "suspects": tall(suspects),
                "title": f"{score(edges[i])} to {score(edges[i + 1])}: "
                f"{count(kept)} kept, {count(suspects)} suspects",
            }
            for i, (kept, suspects) in enumerate(
                zip(histogram.kept.tolist(), histogram.suspects.tolist())
            )
            if kept or suspects
        ],
        "x_ticks": [
            (x(tick), f"{tick:g}".replace("-", "−"))
            for tick in _ticks(low, high, 8)
        ],
        "y_ticks": [
            (height - tall(tick), count(round(tick)))
            for tick in _ticks(0, tallest, 3)
            if tick == round(tick)
        ],
        "boundary": histogram.boundary and tuple(map(x, histogram.boundary)),
        "boundary_label": histogram.boundary_label,
    }


def _ticks(low, high, most):
    """Returns at most `most` or so round numbers from `low` to `high`."""
    rough = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = min(
        (m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough),
        default=10 * magnitude,
    )
    first = math.ceil(low / step)
    last = math.floor(high / step)
    return [round(step * i, 10) for i in range(first, last + 1)]
