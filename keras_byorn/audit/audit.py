"""The account of a detection or of a defended fine-tune."""

import pathlib

from keras_byorn.audit import clean, html, html_numbers, plots
from keras_byorn.audit import table as tables
from keras_byorn.audit.html_notebook import render_notebook
from keras_byorn.data.files import replacing
from keras_byorn.data.shown import listed

# Words for counts of the summary.
_TARGET_COUNTS = {
    "masked": "num_masked",
    "mixed": "num_mixed",
    "regenerated": "num_regenerated",
    "excluded": "num_excluded",
}
_VERDICT_COUNTS = {
    "suspects": "num_suspect",
    "on probation": "num_on_probation",
    "trusted": "num_trusted",
    "restored": "num_restored",
    "flagged late": "num_flagged_late",
    "alarms": "num_alarms",
}


class Audit:
    """Accounts for what is held out, the reasons and the replacements.

    An audit is a snapshot: a later change of the store does not change it.
    Images are read only for the rows that a page shows.

    Held out are suspects, which there is evidence against, and examples on
    probation, which are only not clearly plausible. Neither is proof of an
    attack: an unusual but honest response can be held out, and a harmful one
    can be plausible.

    Args:
        store: `TargetStore` or `Detection`, or any object whose method
            `rows()` returns an iterable of N `AuditRow`. If no row was ever
            revised, no model was trained, and the audit tells nothing of
            targets.
        examples: `Examples`, to read images from, by example id.
        token_scores: dict from example id to `(tokens, log_likelihoods)`: the
            pieces of the original response, the end token among them, and
            their log-likelihoods under the reference, in nats. Ids may be
            missing. Defaults to `None`, no token scores.
        notes: dict from string to string or number. Facts of the run that the
            page shows at its top, such as the scorer, the decision and the
            seed. The note `"reason"` is given if nothing is held out.
            Defaults to `None`, no notes.
        scores: dict from the name of a scorer to a float array, `(N,)`, in
            the order of the store: the score by each scorer of an ensemble,
            in its unit, low is implausible. Defaults to `None`, one scorer,
            whose value is the plausibility.
        groups: list of N strings. The examples that each was compared with,
            such as `"prompt 'caption the image'"`. Defaults to `None`: with
            all.
        cuts: float array, `(N,)`. The cut that applied to each example, in
            the unit of the plausibility; NaN for none. Defaults to `None`,
            not known.
        reasons: list of N strings. The reason for each verdict, empty for
            none. Defaults to `None`, no reasons.
        evidence: list of N sequences of strings. The kinds of evidence that
            spoke against each example, such as `"same words"`. Defaults to
            `None`, no evidence.
        clusters: list of `Cluster`, or of any objects with its attributes
            `number`, `kind`, `text`, `size`, `num_contents`, `proposal`,
            `sample_ids` and `sample`. Defaults to `None`, no clusters.
        cluster: int array, `(N,)`. The number of the cluster of each example,
            0 for none. Defaults to `None`, no clusters.

    Attributes:
        table: `pyarrow.Table`, one row an example in the order of the store:
            - `example_id`, `prompt`, `original_response`, `current_response`,
              `origin`, `replacement`, `written_by`, `verdict`,
              `suspect_probability`, `is_held_out` (a probability of
              at least one half) and `revision`, as in the store;
            - `reason`: the reason for the verdict, null if there is none;
            - `evidence`: the kinds of evidence that spoke against it;
            - `cluster`: the number of its cluster, null if it is not held out;
            - `plausibility` (low is implausible, NaN if not scored),
              `student_plausibility` (by the student, nats per token, NaN
              without a review), `group` and `cut`;
            - `share_more_plausible`: the share of the others of its group
              that are more plausible, in [0, 1], NaN if nothing is known;
            - `scores` and `shares_more_plausible`: the score and that share
              by each scorer, maps from its name;
            - `num_sharing`, `shared_text` and `shared_with`: number of
              examples, itself included, that share a text with it, the text,
              and a few of their ids (see `find_duplicates`);
            - `tokens` and `token_surprise` (nats);
            - `masked_tokens`: the tokens, counted from 0, that are the span
              of a masked example; null if it is not masked;
            - `digest`: of the example as it was judged, null if not known.
        clusters: list of the clusters.
        summary: dict of counts and means over the table, see `summarize`.
        notes: dict, the notes of the run.

    Raises:
        ValueError: If the store has no rows, if it has ids that `examples`
            has not, if an example has not one log-likelihood per token, or
            if a column has not one value per example.

    Example:

    >>> audit = Audit(store, examples, notes={"decision": "FlagFraction(0.4)"})
    >>> audit.to_parquet("audit.parquet")  # every row
    >>> audit.to_html("audit.html")  # the suspects first, to look at
    >>> audit.plot_scores("scores.png")
    >>> audit.table.filter(audit.table["is_held_out"]).to_pandas()
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
        reasons=None,
        evidence=None,
        clusters=None,
        cluster=None,
    ):
        self.table = tables.build_table(
            store,
            token_scores,
            scores,
            groups,
            cuts,
            reasons,
            evidence,
            cluster,
        )
        self.clusters = list(clusters or [])
        _check_ids(self.table, examples)
        self.summary = tables.summarize(self.table)
        self.notes = dict(notes or {})
        self._examples = examples

    def __len__(self):
        return len(self.table)

    def to_parquet(self, path):
        """Writes the whole table to a Parquet file.

        Settings and versions are in the metadata of its schema, as JSON:
        `pyarrow.parquet.read_schema(path).metadata[b"keras_byorn"]`.

        The file is written under a temporary name and renamed, so that a
        failure leaves an older file unchanged.

        Args:
            path: string or path.

        Returns:
            `pathlib.Path` of the file.

        Example:

        >>> audit.to_parquet("audit.parquet")
        """
        tables.write_parquet(self.table, path, self.notes)
        return pathlib.Path(path)

    def to_html(self, path, max_rows=100_000, max_images=1_000):
        """Writes a page that shows what is held out: clusters, then examples.

        Each cluster can be trusted or dropped there by a click, and the
        choices be exported as `decisions.json`, which `keras_byorn.detect` and
        `Detection.trust` take. Suspects come before examples on probation, and
        the least plausible first.

        The page is one file that loads nothing, and no script but its own
        can run in it: all prompts and responses, those of an attacker too,
        are shown as text, with invisible characters made visible. Its script
        searches, filters and orders all rows of the page and shows some at a
        time; a print has the rows that are shown. Without scripts the page is
        a plain list of the clusters and a table of the first suspects.

        Rows and images are written one after the other, never held together.

        Args:
            path: string or path.
            max_rows: integer, at least 1, or `None` for all. Number of
                examples in the page: what is held out first, then kept ones,
                the likeliest suspects first. The page gives the number of
                those left out. Defaults to `100_000`, about 50 MB.
            max_images: integer, at least 0, or `None` for all. Number of
                images in the page: up to three samples of each cluster, then
                those of rows, of which the first 50 always have theirs.
                Defaults to `1_000`.

        Returns:
            `pathlib.Path` of the file.

        Raises:
            ValueError: If `max_rows` or `max_images` is not such an integer
                or `None`.

        Example:

        >>> audit.to_html("audit.html", max_rows=10_000, max_images=None)
        """
        page = html.render(
            self.table,
            self.summary,
            self._examples,
            self.notes,
            max_rows,
            max_images,
            self.clusters,
        )
        with replacing(path) as temporary, temporary.open("wb") as file:
            for piece in page:
                file.write(piece.encode("utf-8", "xmlcharrefreplace"))
        return pathlib.Path(path)

    def clean_examples(self):
        """Returns the cleaned data set.

        Kept and restored examples have their original response, regenerated
        ones their replacement, mixed ones the response of the greater
        weight, masked ones the plausible rest without the span. Excluded ones
        are left out. Ids and order stay.

        Returns:
            `Examples`, which read an image when it is asked for.

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

        After a review by the student, a second panel compares its
        plausibility with that by the reference.

        Args:
            path: string or path of a PNG file to write. Defaults to `None`,
                no file.

        Returns:
            `matplotlib.figure.Figure`.

        Raises:
            ImportError: If matplotlib is not installed.

        Example:

        >>> figure = audit.plot_scores("scores.png")
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
        reason = self.notes.get("reason")
        return render_notebook(self.table, self._facts(), self.clusters, reason)

    def _facts(self):
        """Returns the summary as pairs of short texts, without zero counts."""
        summary, count = self.summary, html_numbers.count
        held_out = count(summary["num_held_out"])
        share = html_numbers.percent(summary["held_out_fraction"])
        kept = html_numbers.mean(summary["mean_plausibility_kept"])
        other = html_numbers.mean(summary["mean_plausibility_held_out"])
        names = _VERDICT_COUNTS
        if tables.is_trained(self.table):
            names = {**names, **_TARGET_COUNTS}
        return [
            ("examples", count(summary["num_examples"])),
            ("held out", f"{held_out} ({share})"),
            *(
                (name, count(summary[key]))
                for name, key in names.items()
                if summary[key]
            ),
            ("mean plausibility", f"{kept} kept, {other} held out"),
        ]


def _check_ids(table, examples):
    """Refuses rows of other examples."""
    known = set(examples.example_ids)
    ids = table["example_id"].to_pylist()
    unknown = [example_id for example_id in ids if example_id not in known]
    if unknown:
        raise ValueError(
            "`examples` must hold every example of `store`. Pass the examples "
            f"that the store was made from. Received: {len(known)} examples, "
            f"without {len(unknown)} ids of the store, such as "
            f"{listed(unknown, 3)}"
        )
