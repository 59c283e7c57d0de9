"""Histogram of the audit's page, in pixels of an SVG."""

import math

from keras_byorn.audit.html_numbers import count, score


def histogram_chart(histogram, width=960, height=200, gap=60):
    """Places the bars and ticks of the histogram in pixels.

    Args:
        histogram: `Histogram`.
        width: integer, pixels of the plot.
        height: integer, pixels of the plot.
        gap: integer, pixels between ticks of the horizontal axis, at least.

    Returns:
        Dict of plain numbers and texts for the template.
    """
    edges = histogram.edges
    tallest = (histogram.kept + histogram.held_out).max()

    def x(value):
        return round(_pixel(histogram, value, width), 1)

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
                "held_out": tall(held_out),
                "title": f"{score(edges[i])} to {score(edges[i + 1])}: "
                f"{count(kept)} kept, {count(held_out)} held out",
            }
            for i, (kept, held_out) in enumerate(
                zip(histogram.kept.tolist(), histogram.held_out.tolist())
            )
            if kept or held_out
        ],
        "x_ticks": [
            (x(tick), label)
            for tick, label in score_ticks(histogram, width, gap)
        ],
        "y_ticks": [
            (height - tall(tick), count(round(tick)))
            for tick in _ticks(0, tallest, 3)
            if tick == round(tick)
        ],
        "boundary": histogram.boundary and tuple(map(x, histogram.boundary)),
        "cut": None if histogram.cut is None else x(histogram.cut),
        "mark": _mark(histogram, x, width),
        "linear_to": None
        if histogram.linear_width is None
        else f"{histogram.linear_width:.2g}",
    }


def _mark(histogram, x, width):
    """Returns the label of the cut or the boundary, within the plot."""
    if histogram.cut is not None:
        label, at = f"cut {score(histogram.cut)}", x(histogram.cut)
    elif histogram.boundary:
        label = histogram.boundary_label
        at = round(sum(map(x, histogram.boundary)) / 2, 1)
    else:
        return None
    share = at / width
    anchor = "start" if share < 0.25 else "end" if share > 0.75 else "middle"
    return {"label": label, "x": at, "anchor": anchor}


def score_ticks(histogram, width, gap):
    """Returns round scores that are at least so many pixels apart.

    Args:
        histogram: `Histogram`.
        width: integer, pixels of the plot.
        gap: integer, pixels between two of them, at least.

    Returns:
        List of pairs of a score and its label, in order.
    """
    return [
        (tick, f"{tick:g}".replace("-", "−"))
        for tick in sorted(_round_scores(histogram, width, gap))
    ]


def _pixel(histogram, value, width):
    edges = histogram.edges
    low, high, place = map(histogram.place, (edges[0], edges[-1], value))
    return float((place - low) / (high - low) * width)


def _round_scores(histogram, width, gap):
    low, high = histogram.edges[0], histogram.edges[-1]
    linear = histogram.linear_width
    if linear is None:
        return _ticks(low, high, max(4, width // (2 * gap)))
    first = math.floor(math.log10(linear))
    last = math.floor(math.log10(max(abs(low), abs(high))))
    powers = [10.0**e for e in range(last, first - 1, -1)]
    rounds = [m * p for m in (1, 5, 2) for p in powers]
    chosen = []
    for tick in [0.0, *(s * r for r in rounds for s in (-1, 1))]:
        if low <= tick <= high and all(
            abs(
                _pixel(histogram, tick, width) - _pixel(histogram, other, width)
            )
            >= gap
            for other in chosen
        ):
            chosen.append(tick)
    return chosen


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
