"""The account of one defended fine-tune."""

import pathlib

from markupsafe import Markup

from keras_byorn.audit import html, plots
from keras_byorn.audit import table as tables
from keras_byorn.data.files import replacing


class Audit:
    """Tells which responses were implausible, why, and what replaced them.

    An audit is a snapshot: a later change of the store does not change it.
    Images are read only for the rows that a page shows.

    Implausible is not proof of an attack. An unusual but honest response can
    be a suspect, and a harmful one can be plausible.

    Args:
        store: `TargetStore`. What each example is trained on, and why.
        examples: `Examples`. Where the images are read from, by example id.
        token_scores: dict from example id to `(tokens, log_likelihoods)`: the
            pieces of the original response, the end token among them, and
            their log-likelihoods under the reference, in nats. Ids may be
            missing. Defaults to `None`, no token scores.
        notes: dict from string to string or number. Facts of the run that the
            page shows at its top, such as the scorer, the threshold and the
            seed. The note `"reason"` is given where nothing is suspect.
            Defaults to `None`, no notes.

    Attributes:
        table: `pyarrow.Table`, one row an example in the order of the store:
            `example_id`, `prompt`, `original_response`, `current_response`,
            `origin`, `plausibility` (nats per token, low is implausible, NaN
            where not scored), `suspect_probability`, `is_suspect` (at least
            one half), `revision`, `tokens`, `token_surprise` (nats).
        summary: dict of counts and means over the table.
        notes: dict, the notes of the run.

    Raises:
        ValueError: If the store has no rows, if it has ids that `examples`
            has not, or if an example has not one log-likelihood per token.

    Example:

    >>> audit = Audit(store, examples, notes={"threshold": "FlagFraction(0.4)"})
    >>> audit.to_parquet("audit.parquet")  # every row
    >>> audit.to_html("audit.html")  # the suspects, to look at
    >>> audit.plot_scores("scores.png")
    >>> audit.table.filter(audit.table["is_suspect"]).to_pandas()
    """

    def __init__(self, store, examples, token_scores=None, notes=None):
        self.table = tables.build_table(store, token_scores)
        _check_ids(self.table, examples)
        self.summary = tables.summarize(self.table)
        self.notes = dict(notes or {})
        self._examples = examples

    def to_parquet(self, path):
        """Writes the whole table to a Parquet file.

        The file is written under a temporary name and renamed, so that a
        failure leaves an older file as it was.

        Args:
            path: string or path.

        Returns:
            `pathlib.Path` of the file.
        """
        tables.write_parquet(self.table, path)
        return pathlib.Path(path)

    def to_html(self, path, max_rows=200):
        """Writes a page that shows the suspects, the least plausible first.

        The page is one file that loads nothing, and no script but its own
        can run in it: prompts and responses are shown as text, whatever an
        attacker wrote, with invisible characters made visible.

        Args:
            path: string or path.
            max_rows: integer, at least 1, or `None` for all. How many
                suspects to show, each with its image. The page says how many
                it leaves out. Defaults to `200`.

        Returns:
            `pathlib.Path` of the file.

        Raises:
            ValueError: If `max_rows` is not a positive integer or `None`.
        """
        page = html.render(
            self.table, self.summary, self._examples, self.notes, max_rows
        )
        with replacing(path) as temporary:
            temporary.write_bytes(page.encode("utf-8", "xmlcharrefreplace"))
        return pathlib.Path(path)

    def plot_scores(self, path=None):
        """Draws how plausible the kept examples and the suspects are.

        Args:
            path: string or path of a PNG file to write. Defaults to `None`,
                no file.

        Returns:
            `matplotlib.figure.Figure`.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        figure = plots.plot_scores(self.table)
        if path is not None:
            with replacing(path) as temporary:
                figure.savefig(temporary, format="png", dpi=150)
        return figure

    def __repr__(self):
        facts = "; ".join(f"{name} {value}" for name, value in self._facts())
        return f"<Audit: {facts}>"

    def _repr_html_(self):
        row = Markup("<tr><th style='text-align:left'>{}</th><td>{}</td></tr>")
        rows = Markup().join(row.format(*fact) for fact in self._facts())
        return str(Markup("<table>{}</table>").format(rows))

    def _facts(self):
        """Returns the summary as pairs of short texts."""
        summary = self.summary
        suspects = html.count(summary["num_suspect"])
        share = html.percent(summary["flagged_fraction"])
        kept = html.mean(summary["mean_plausibility_kept"])
        suspect = html.mean(summary["mean_plausibility_suspect"])
        return [
            ("examples", html.count(summary["num_examples"])),
            ("suspects", f"{suspects} ({share})"),
            ("regenerated", html.count(summary["num_regenerated"])),
            ("excluded", html.count(summary["num_excluded"])),
            ("mean plausibility", f"{kept} kept, {suspect} suspects"),
        ]


def _check_ids(table, examples):
    """Refuses a store that was not made from these examples."""
    known = set(examples.example_ids)
    ids = table["example_id"].to_pylist()
    unknown = [example_id for example_id in ids if example_id not in known]
    if unknown:
        raise ValueError(
            "`examples` must hold every example of `store`. Pass the examples "
            f"that the store was made from. Received: {len(known)} examples, "
            f"without {len(unknown)} ids of the store, such as {unknown[:3]}"
        )
