"""The account of one defended fine-tune."""

import pathlib

from markupsafe import Markup

from keras_byorn.audit import clean, html, plots
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
        scores: dict from the name of a scorer to a float array, `(N,)`, in
            the order of the store: what each scorer of an ensemble said, in
            its unit, low is implausible. Defaults to `None`, one scorer,
            whose value is the plausibility.
        groups: list of N strings. What each example was compared with, such
            as `"prompt 'caption the image'"`. Defaults to `None`: with all.
        cuts: float array, `(N,)`. The cut that applied to each example, in
            the unit of the plausibility; NaN where there was none. Defaults
            to `None`, not known.

    Attributes:
        table: `pyarrow.Table`, one row an example in the order of the store:
            - `example_id`, `prompt`, `original_response`, `current_response`,
              `origin`, `replacement`, `written_by`, `verdict`,
              `suspect_probability`, `is_suspect` (at least one half) and
              `revision`, as in the store;
            - `plausibility` (low is implausible, NaN where
              not scored), `student_plausibility` (the same by the student,
              NaN without a second look), `group` and `cut`;
            - `share_more_plausible`: the share of the others of its group
              that are more plausible, in [0, 1], NaN where nothing is known;
            - `scores` and `shares_more_plausible`: the same by scorer, maps
              from its name;
            - `num_sharing`, `shared_text` and `shared_with`: how many
              examples, itself included, share a text with it, the text, and
              a few of their ids (see `find_duplicates`);
            - `tokens` and `token_surprise` (nats);
            - `masked_tokens`: which of the tokens, counted from 0, are the
              span of a masked example; null where it is not masked.
        summary: dict of counts and means over the table.
        notes: dict, the notes of the run.

    Raises:
        ValueError: If the store has no rows, if it has ids that `examples`
            has not, if an example has not one log-likelihood per token, or
            if `scores`, `groups` or `cuts` have not one value per example.

    Example:

    >>> audit = Audit(store, examples, notes={"threshold": "FlagFraction(0.4)"})
    >>> audit.to_parquet("audit.parquet")  # every row
    >>> audit.to_html("audit.html")  # the suspects first, to look at
    >>> audit.plot_scores("scores.png")
    >>> audit.table.filter(audit.table["is_suspect"]).to_pandas()
    >>> audit.write_clean_examples("clean.parquet")  # the cleaned data set
    """

    def __init__(
        self,
        store,
        examples,
        token_scores=None,
        notes=None,
        scores=None,
        groups=None,
        cuts=None,
    ):
        self.table = tables.build_table(
            store, token_scores, scores, groups, cuts
        )
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

    def to_html(self, path, max_rows=100_000, max_images=1_000):
        """Writes a page that shows the suspects, the least plausible first.

        The page is one file that loads nothing, and no script but its own
        can run in it: prompts and responses are shown as text, whatever an
        attacker wrote, with invisible characters made visible. Its script
        searches, filters and orders all rows of the page and shows some at a
        time; what it shows is what is printed. Without scripts the page is a
        plain table of the first suspects.

        Rows and images are written one after the other, never held together.

        Args:
            path: string or path.
            max_rows: integer, at least 1, or `None` for all. How many
                examples the page holds: suspects first, then kept ones, the
                likeliest suspects first. The page says how many it leaves
                out. Defaults to `100_000`, about 50 MB.
            max_images: integer, at least 0, or `None` for all. How many of
                these rows come with their image. Defaults to `1_000`.

        Returns:
            `pathlib.Path` of the file.

        Raises:
            ValueError: If `max_rows` or `max_images` is not such an integer
                or `None`.
        """
        page = html.render(
            self.table,
            self.summary,
            self._examples,
            self.notes,
            max_rows,
            max_images,
        )
        with replacing(path) as temporary, temporary.open("wb") as file:
            for piece in page:
                file.write(piece.encode("utf-8", "xmlcharrefreplace"))
        return pathlib.Path(path)

    def clean_examples(self):
        """Gives the cleaned data set back.

        Kept and restored examples have their original response, regenerated
        ones their replacement, mixed ones the response of the greater
        weight, masked ones what remains without the span, which was found
        plausible. Excluded ones are left out. Ids and order stay.

        Returns:
            `Examples`, which read their images when they are asked for them.

        Example:

        >>> model.fit(TargetBatches(audit.clean_examples(), vlm))
        """
        return clean.clean_examples(self.table, self._examples)

    def write_clean_examples(self, path):
        """Writes the cleaned data set to a Parquet file.

        The columns are `example_id`, `images` (a struct of the `bytes` of a
        PNG file and a `path`, null), `prompts` and `responses`. Hugging Face
        `datasets` reads images as pictures; pandas reads their bytes. Images
        are read one after the other and never held together.

        Args:
            path: string or path.

        Returns:
            `pathlib.Path` of the file.

        Raises:
            ValueError: If an image is not uint8.

        Example:

        >>> audit.write_clean_examples("clean.parquet")
        >>> datasets.load_dataset("parquet", data_files="clean.parquet")
        """
        clean.write_parquet(self.clean_examples(), path)
        return pathlib.Path(path)

    def write_clean_tfds(self, name, data_dir=None):
        """Writes the cleaned data set for TensorFlow Datasets.

        Its one split is `"train"`. Its files are Parquet, so that
        `tfds.load` and `tfds.data_source` both read it.

        Args:
            name: string. The name of the data set, in snake case.
            data_dir: string or path. The folder of data sets to put it in.
                Defaults to `None`, the folder of TFDS.

        Returns:
            `tfds.core.DatasetBuilder` of the data set.

        Raises:
            ImportError: If tensorflow-datasets is not installed.
            RuntimeError: If there is a data set of this name already.
            ValueError: If an image is not uint8.

        Example:

        >>> audit.write_clean_tfds("clean_captions", "data")
        >>> tfds.data_source("clean_captions", split="train", data_dir="data")
        """
        return clean.write_tfds(self.clean_examples(), name, data_dir)

    def plot_scores(self, path=None):
        """Draws how plausible the kept examples and the suspects are.

        Where a student took a second look, a second panel sets what it found
        against what the reference found.

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
            *(
                (name, html.count(summary[f"num_{key}"]))
                for name, key in (
                    ("masked", "masked"),
                    ("regenerated", "regenerated"),
                    ("excluded", "excluded"),
                    ("restored", "restored"),
                    ("taken out", "taken_out"),
                    ("alarms", "alarms"),
                )
            ),
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
