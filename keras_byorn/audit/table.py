"""Table of an audit, one row an example, and its summary."""

import json

import numpy as np

from keras_byorn.audit.row import is_suspect
from keras_byorn.data.duplicates import find_duplicates
from keras_byorn.data.files import replacing
from keras_byorn.data.shown import encodable, shortened
from keras_byorn.data.versions import versions

ONE_GROUP = "all"
ON_PROBATION = "on_probation"
METADATA = "keras_byorn"  # name of the facts of a run in a Parquet file

# Fields of a row that are copied to the columns of their names, as they are.
_COPIED = (
    "example_id",
    "origin",
    "written_by",
    "verdict",
    "plausibility",
    "suspect_probability",
    "student_plausibility",
    "revision",
    "masked_tokens",
    "digest",
)
# Texts of a row, which may hold lone surrogates.
_TEXTS = (
    "prompt",
    "original_response",
    "current_response",
    "replacement",
)


def schema():
    """Returns the `pyarrow.Schema` of the table."""
    import pyarrow as pa

    return pa.schema(
        [
            ("example_id", pa.string()),
            ("prompt", pa.string()),
            ("original_response", pa.string()),
            ("current_response", pa.string()),
            ("origin", pa.string()),
            ("replacement", pa.string()),
            ("written_by", pa.string()),
            ("verdict", pa.string()),
            ("reason", pa.string()),
            ("evidence", pa.list_(pa.string())),
            ("cluster", pa.int64()),
            ("plausibility", pa.float32()),
            ("suspect_probability", pa.float32()),
            ("is_held_out", pa.bool_()),
            ("is_suspect", pa.bool_()),
            ("student_plausibility", pa.float32()),
            ("group", pa.string()),
            ("cut", pa.float32()),
            ("share_more_plausible", pa.float32()),
            ("scores", pa.map_(pa.string(), pa.float32())),
            ("shares_more_plausible", pa.map_(pa.string(), pa.float32())),
            ("num_sharing", pa.int64()),
            ("shared_text", pa.string()),
            ("shared_with", pa.list_(pa.string())),
            ("revision", pa.int64()),
            ("tokens", pa.list_(pa.string())),
            ("token_surprise", pa.list_(pa.float32())),
            ("masked_tokens", pa.list_(pa.int32())),
            ("digest", pa.string()),
        ]
    )


def build_table(
    store,
    token_scores=None,
    scores=None,
    groups=None,
    cuts=None,
    reasons=None,
    evidence=None,
    cluster=None,
):
    """Copies rows into a table, in their order.

    Args:
        store: object whose method `rows()` returns an iterable of N
            `AuditRow`, as `TargetStore` and `Detection`.
        token_scores: dict from example id to `(tokens, log_likelihoods)` of
            the original response, log-likelihoods in nats. Ids may be
            missing. Defaults to `None`, no token scores.
        scores: dict from the name of a scorer to a float array, `(N,)`, in
            the unit of the scorer, low is implausible. Defaults to `None`.
        groups: list of N strings. The examples that each was compared with.
            Defaults to `None`: with all.
        cuts: float array, `(N,)`. The cut that applied to each example, in
            the unit of the plausibility. Defaults to `None`, not known.
        reasons: list of N strings. The reason for each verdict; an empty one
            becomes null. Defaults to `None`, no reasons.
        evidence: list of N sequences of strings. The kinds of evidence that
            spoke against each. Defaults to `None`, no evidence.
        cluster: int array, `(N,)`. The number of each example's cluster, 0
            for none. Defaults to `None`, no clusters.

    Returns:
        `pyarrow.Table` with the columns of `schema()`. `tokens` and
        `token_surprise` (nats, the negated log-likelihoods) are null if an
        example has no token scores.

    Raises:
        ValueError: If the store has no rows, if an example has not one
            log-likelihood for each token, or if another argument has not one
            value for each row.

    Example:

    >>> build_table(store).column_names[:2]
    ['example_id', 'prompt']
    """
    import pyarrow as pa

    rows = _rows_of(store)
    columns = _row_columns(rows)
    columns["reason"] = _reasons(reasons, len(rows))
    columns.update(_findings(columns["is_held_out"], evidence, cluster))
    columns.update(_comparison(columns["plausibility"], scores, groups, cuts))
    columns.update(_sharing(columns))
    columns.update(_token_columns(columns["example_id"], token_scores or {}))
    types = schema()
    return pa.table({name: columns[name] for name in types.names}, types)


def is_trained(table):
    """Returns whether a model was trained on the targets of a table.

    Setting the scores of a target store is its first revision; the rows of a
    detection have none.

    Args:
        table: `pyarrow.Table` from `build_table()`.

    Returns:
        bool.
    """
    return bool((table["revision"].to_numpy() > 0).any())


def summarize(table):
    """Counts the examples by verdict and by target.

    Args:
        table: `pyarrow.Table` from `build_table()`.

    Returns:
        Dict of counts (`num_...`): `num_suspect` of what stands apart,
        `num_on_probation` of what only a student can vouch for,
        `num_held_out` of both, and others by verdict and by target;
        `flagged_fraction`, the share that is suspect, and
        `held_out_fraction`; and means of plausibility in the unit of the
        scorer, each `None` if nothing was scored.

    Example:

    >>> summarize(table)["num_suspect"]
    400
    """
    plausibility = table["plausibility"].to_numpy()
    held_out = table["is_held_out"].to_numpy()
    suspect = table["is_suspect"].to_numpy()
    origin = table["origin"].to_numpy()
    verdict = table["verdict"].to_numpy()
    return {
        "num_examples": len(table),
        "num_scored": int(np.isfinite(plausibility).sum()),
        "num_held_out": int(held_out.sum()),
        "num_suspect": int(suspect.sum()),
        "num_kept": int((verdict == "kept").sum()),
        "num_regenerated": int((origin == "regenerated").sum()),
        "num_excluded": int((origin == "excluded").sum()),
        "num_masked": int((origin == "masked").sum()),
        "num_mixed": int((origin == "mixed").sum()),
        "num_on_probation": int((verdict == ON_PROBATION).sum()),
        "num_trusted": int((verdict == "trusted").sum()),
        "num_restored": int((verdict == "restored").sum()),
        "num_flagged_late": int((verdict == "flagged late").sum()),
        "num_alarms": int((verdict == "alarm").sum()),
        "flagged_fraction": float(suspect.mean()),
        "held_out_fraction": float(held_out.mean()),
        "mean_plausibility": _finite_mean(plausibility),
        "mean_plausibility_kept": _finite_mean(plausibility[~held_out]),
        "mean_plausibility_held_out": _finite_mean(plausibility[held_out]),
    }


def write_parquet(table, path, notes=None):
    """Writes a table to a Parquet file, whole or not at all.

    Args:
        table: `pyarrow.Table`.
        path: string or path. An older file there is replaced.
        notes: optional dict, the settings of the run. They are in the metadata
            of the file's schema under `keras_byorn`, beside the versions of
            the packages: a JSON object with `settings` and `versions`.
    """
    import pyarrow.parquet as pq

    facts = {"settings": notes or {}, "versions": dict(versions())}
    metadata = {METADATA: json.dumps(facts, default=str)}
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary)


def share_more_plausible(scores, groups):
    """Ranks each example in its group.

    Args:
        scores: float array, `(N,)`, low is implausible.
        groups: int array, `(N,)`. The group of each example.

    Returns:
        float32 array, `(N,)`, in [0, 1]: the share of the others of its
        group whose score is higher. NaN if an example has no score, or no
        other of its group has one.

    Example:

    >>> share_more_plausible(np.array([-3.0, -1.0, -2.0]), np.zeros(3, int))
    array([1. , 0. , 0.5], dtype=float32)
    """
    shares = np.full(len(scores), np.nan, "float32")
    known = np.flatnonzero(~np.isnan(scores))
    # Group by group, from low to high.
    order = known[np.lexsort((scores[known], groups[known]))]
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    for members in np.split(order, edges):
        if len(members) > 1:
            ordered = scores[members]
            above = np.searchsorted(ordered, ordered, side="right")
            shares[members] = (len(members) - above) / (len(members) - 1)
    return shares


def _rows_of(store):
    """Returns the rows of a store as a list; refuses none."""
    rows = list(store.rows())
    if not rows:
        raise ValueError(
            "`store` must have at least one row to audit. Score the examples "
            "first: `model.fit(...)` with a `BYORnCallback` fills the store. "
            f"Received: a store of {len(rows)} rows"
        )
    return rows


def _row_columns(rows):
    """Returns the columns that follow from each row alone."""
    columns = {name: [getattr(row, name) for row in rows] for name in _COPIED}
    for name in _TEXTS:
        columns[name] = [encodable(getattr(row, name)) for row in rows]
    columns["is_held_out"] = [
        is_suspect(row.suspect_probability) for row in rows
    ]
    columns["is_suspect"] = [
        is_held_out and row.verdict != ON_PROBATION
        for is_held_out, row in zip(columns["is_held_out"], rows)
    ]
    return columns


def _comparison(plausibility, scores, groups, cuts):
    """Returns the columns that compare an example with its group."""
    count = len(plausibility)
    groups = [ONE_GROUP] * count if groups is None else list(groups)
    cuts = np.full(count, np.nan) if cuts is None else np.asarray(cuts)
    arrays = {name: np.asarray(v) for name, v in (scores or {}).items()}
    _check_shape("groups", (len(groups),), count)
    _check_shape("cuts", cuts.shape, count)
    for name, values in arrays.items():
        _check_shape(f"scores[{name!r}]", values.shape, count)
    number_of = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    numbers = np.array([number_of[group] for group in groups])
    shares = {
        name: share_more_plausible(values, numbers)
        for name, values in arrays.items()
    }
    return {
        "group": [encodable(str(group)) for group in groups],
        "cut": cuts,
        "share_more_plausible": share_more_plausible(
            np.asarray(plausibility), numbers
        ),
        "scores": _maps(arrays, count),
        "shares_more_plausible": _maps(shares, count),
    }


def _reasons(reasons, count):
    """Returns the column of reasons, null instead of empty ones."""
    reasons = [None] * count if reasons is None else list(reasons)
    _check_shape("reasons", (len(reasons),), count)
    return [encodable(reason) if reason else None for reason in reasons]


def _findings(held_out, evidence, cluster):
    """Returns the columns of evidence, and of clusters while held out."""
    count = len(held_out)
    evidence = [()] * count if evidence is None else list(evidence)
    cluster = [0] * count if cluster is None else list(map(int, cluster))
    _check_shape("evidence", (len(evidence),), count)
    _check_shape("cluster", (len(cluster),), count)
    return {
        "evidence": [[encodable(str(k)) for k in kinds] for kinds in evidence],
        "cluster": [
            number if number and is_held_out else None
            for number, is_held_out in zip(cluster, held_out)
        ],
    }


def _check_shape(name, shape, count):
    """Refuses a column without exactly one value for each example."""
    if shape != (count,):
        raise ValueError(
            f"`{name}` must have one value for each example, in the order of "
            "the store. Pass NaN for an unknown value. Received: shape "
            f"{shape} for {count} examples"
        )


def _maps(arrays, count):
    """Turns columns by name into a map from name to value for each row."""
    names = list(arrays)
    if not names:
        return [[]] * count
    values = np.stack([arrays[name] for name in names], axis=1).tolist()
    return [list(zip(names, row)) for row in values]


def _sharing(columns):
    """Returns the columns of the text that responses share."""
    ids = columns["example_id"]
    found = find_duplicates(columns["prompt"], columns["original_response"])
    return {
        "num_sharing": found.counts,
        "shared_text": found.texts,
        "shared_with": [[ids[i] for i in others] for others in found.others],
    }


def _token_columns(ids, token_scores):
    """Returns the columns of tokens and of their surprise in nats."""
    pairs = [_tokens(token_scores, example_id) for example_id in ids]
    return {
        "tokens": [tokens for tokens, _ in pairs],
        "token_surprise": [surprise for _, surprise in pairs],
    }


def _tokens(token_scores, example_id):
    """Returns the tokens of an example and their surprise, or two `None`."""
    if example_id not in token_scores:
        return None, None
    tokens, log_likelihoods = token_scores[example_id]
    if len(tokens) != len(log_likelihoods):
        raise ValueError(
            "`token_scores` must hold one log-likelihood for each token of an "
            "example. Pass both without padding. Received: "
            f"{len(tokens)} tokens and {len(log_likelihoods)} log-likelihoods "
            f"for example_id={shortened(example_id)}"
        )
    # 0 - x, not -x: a certain token has a surprise of 0, not of -0.
    surprise = 0 - np.asarray(log_likelihoods, "float32")
    return [encodable(token) for token in tokens], surprise


def _finite_mean(values):
    """Returns the mean of the finite values, or `None` without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype="float64")) if len(finite) else None
