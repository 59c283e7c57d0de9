"""The audit as a table: one row an example, and what the rows sum up to."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from keras_byorn.data.files import replacing

SUSPECT_FROM = 0.5

SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("prompt", pa.string()),
        ("original_response", pa.string()),
        ("current_response", pa.string()),
        ("origin", pa.string()),
        ("plausibility", pa.float32()),
        ("suspect_probability", pa.float32()),
        ("is_suspect", pa.bool_()),
        ("revision", pa.int64()),
        ("tokens", pa.list_(pa.string())),
        ("token_surprise", pa.list_(pa.float32())),
    ]
)


def build_table(store, token_scores=None):
    """Copies a target store into a table, in the order of the store.

    Args:
        store: `TargetStore`, or any object whose `rows()` gives rows with the
            fields of one.
        token_scores: dict from example id to `(tokens, log_likelihoods)` of
            the original response, log-likelihoods in nats. Ids may be
            missing. Defaults to `None`, no token scores.

    Returns:
        `pyarrow.Table` with the columns of `SCHEMA`. `tokens` and
        `token_surprise` (nats, the negated log-likelihoods) are null where an
        example has no token scores.

    Raises:
        ValueError: If the store has no rows, or if an example has not one
            log-likelihood for each token.
    """
    rows = list(store.rows())
    if not rows:
        raise ValueError(
            "`store` must have at least one row to audit. Score the examples "
            "first: `model.fit(...)` with a `BYORnCallback` fills the store. "
            f"Received: a store of {len(rows)} rows"
        )
    scores = token_scores or {}
    columns = {
        "example_id": [row.example_id for row in rows],
        "prompt": [_encodable(row.prompt) for row in rows],
        "original_response": [_encodable(r.original_response) for r in rows],
        "current_response": [_encodable(r.current_response) for r in rows],
        "origin": [row.origin for row in rows],
        "plausibility": [row.plausibility for row in rows],
        "suspect_probability": [row.suspect_probability for row in rows],
        "is_suspect": [row.suspect_probability >= SUSPECT_FROM for row in rows],
        "revision": [row.revision for row in rows],
        "tokens": [_tokens(scores, row.example_id) for row in rows],
        "token_surprise": [_surprise(scores, row.example_id) for row in rows],
    }
    return pa.table(columns, schema=SCHEMA)


def summarize(table):
    """Counts what happened to the examples.

    Args:
        table: `pyarrow.Table` from `build_table()`.

    Returns:
        Dict of counts (`num_...`), `flagged_fraction` in [0, 1], and means of
        plausibility in nats per token, each `None` where nothing was scored.
    """
    plausibility = table["plausibility"].to_numpy()
    is_suspect = table["is_suspect"].to_numpy()
    origin = table["origin"].to_numpy()
    return {
        "num_examples": len(table),
        "num_scored": int(np.isfinite(plausibility).sum()),
        "num_suspect": int(is_suspect.sum()),
        "num_regenerated": int((origin == "regenerated").sum()),
        "num_excluded": int((origin == "excluded").sum()),
        "flagged_fraction": float(is_suspect.mean()),
        "mean_plausibility": _finite_mean(plausibility),
        "mean_plausibility_kept": _finite_mean(plausibility[~is_suspect]),
        "mean_plausibility_suspect": _finite_mean(plausibility[is_suspect]),
    }


def write_parquet(table, path):
    """Writes a table to a Parquet file, whole or not at all.

    Args:
        table: `pyarrow.Table`.
        path: string or path. An older file there is replaced.
    """
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _encodable(text):
    """Escapes lone surrogates, which no UTF-8 file can hold."""
    if text is None:
        return None
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _tokens(token_scores, example_id):
    """Returns the tokens of an example, or `None`."""
    if example_id not in token_scores:
        return None
    tokens, log_likelihoods = token_scores[example_id]
    if len(tokens) != len(log_likelihoods):
        raise ValueError(
            "`token_scores` must hold one log-likelihood for each token of an "
            "example. Pass both without padding. Received: "
            f"{len(tokens)} tokens and {len(log_likelihoods)} log-likelihoods "
            f"for example_id={example_id!r}"
        )
    return [_encodable(token) for token in tokens]


def _surprise(token_scores, example_id):
    """Returns the surprise of the tokens of an example in nats, or `None`."""
    if example_id not in token_scores:
        return None
    log_likelihoods = np.asarray(token_scores[example_id][1], "float32")
    # 0 - x, not -x: a certain token has a surprise of 0, not of -0.
    return 0 - log_likelihoods


def _finite_mean(values):
    """Returns the mean of the finite values, or `None` without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype="float64")) if len(finite) else None
