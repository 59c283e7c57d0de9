"""The audit as a cell of a notebook shows it: counts, clusters, histogram."""

from keras_byorn.audit import plots
from keras_byorn.audit.html_chart import histogram_chart
from keras_byorn.audit.html_clusters import MAX_LABEL, shared_view
from keras_byorn.audit.html_environment import make_environment
from keras_byorn.audit.html_text import pieces

MAX_CLUSTERS = 8


def render_notebook(table, facts, clusters, reason=None):
    """Renders a fragment of HTML, without scripts, that loads nothing.

    Args:
        table: `pyarrow.Table` from `build_table()`.
        facts: list of pairs of short texts.
        clusters: list of `Cluster`. The first `MAX_CLUSTERS` are shown.
        reason: string. Why so many are held out. Defaults to `None`.

    Returns:
        string, all texts of the data in it escaped.
    """
    histogram = plots.score_histogram(table)
    views = [
        {
            **shared_view(cluster, MAX_LABEL),
            "first": pieces(cluster.sample[0], most=MAX_LABEL)
            if cluster.sample
            else None,
        }
        for cluster in clusters[:MAX_CLUSTERS]
    ]
    template = make_environment().get_template("notebook.html.jinja")
    return template.render(
        facts=facts,
        reason=reason,
        clusters=views,
        num_left_out=max(0, len(clusters) - MAX_CLUSTERS),
        chart=histogram and histogram_chart(histogram, 520, 160, gap=50),
        axis_label=plots.AXIS_LABEL,
        title=f"Histogram of {plots.AXIS_LABEL}",
    )
