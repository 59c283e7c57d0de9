"""A fragment of a model card: the data, the detector and what it found."""

import html
import re

import numpy as np

from keras_byorn.data.digests import digest
from keras_byorn.data.files import replacing
from keras_byorn.data.versions import versions
from keras_byorn.detection.verdicts import VERDICTS

MAX_CLUSTERS = 20
_PUNCTUATION = re.compile(r"([\\`*_\[\]|!~])")
NOTE = """\
Implausible is not proof of an attack: an unusual but honest response can be a
suspect, and a harmful one can be plausible.
"""


def write_card(detection, examples, args, out, training=None):
    """Writes `card.md`.

    Args:
        detection: a `Detection`.
        examples: its `Examples`.
        args: namespace, with `data`, `preset` and `dtype`.
        out: path of the folder.
        training: optional dict from a fact of the training to its value.

    Returns:
        The path of the file.
    """
    facts = {
        "data": args.data,
        "read as": repr(examples),
        "digest of ids, prompts and responses": data_digest(detection),
        "examples": f"{len(detection):,}",
        "preset": f"{args.preset}, {args.dtype}",
        **{name: str(value) for name, value in detection.settings.items()},
        "reason": detection.reason,
    }
    parts = [
        "## Training data",
        _table(("audited by", "keras_byorn"), facts.items()),
        "### Verdicts",
        _table(("verdict", "examples"), _verdicts(detection).items()),
        "### Clusters of what is held out",
        _clusters(detection),
        NOTE,
    ]
    if training is not None:
        parts += ["## Training", _table(("setting", "value"), training.items())]
    parts += ["### Versions", _table(("package", "version"), versions())]
    path = out / "card.md"
    with replacing(path) as temporary:
        temporary.write_text("\n\n".join(p.strip() for p in parts) + "\n")
    return path


def data_digest(detection):
    """Computes a digest of the ids and texts of the data.

    Args:
        detection: a `Detection`.

    Returns:
        A string of 32 hexadecimal digits.
    """
    columns = detection.example_ids, detection.prompts, detection.responses
    return digest(text for row in zip(*columns) for text in row)


def markdown(text):
    """Escapes untrusted text: no markup, no link and no line end is left.

    Args:
        text: string.

    Returns:
        A string for a cell of a table.

    Example:

    >>> markdown("<b> *a* | b")
    '&lt;b&gt; \\\\*a\\\\* \\\\| b'
    """
    text = html.escape(" ".join(text.split()), quote=False)
    text = _PUNCTUATION.sub(r"\\\1", text)
    # GitHub makes links of addresses without any markup.
    text = text.replace("://", "&#58;//").replace("@", "&#64;")
    return re.sub(r"(?i)www\.", "www&#46;", text)


def _verdicts(detection):
    counts = {v: int(np.sum(detection.verdicts == v)) for v in VERDICTS}
    counts["held out, suspect or on probation"] = int(detection.held_out.sum())
    dropped = int(detection.dropped.sum())
    if dropped:
        counts["suspect, dropped by a reviewer"] = dropped
    return {name.replace("_", " "): f"{n:,}" for name, n in counts.items()}


def _clusters(detection):
    rows = [
        (f"{c.size:,}", c.proposal, c.shares)
        for c in detection.clusters[:MAX_CLUSTERS]
    ]
    others = detection.clusters[MAX_CLUSTERS:]
    if others:
        size = sum(cluster.size for cluster in others)
        rows.append((f"{size:,}", "", f"{len(others):,} more clusters"))
    return _table(("examples", "proposed", "shared"), rows)


def _table(header, rows):
    rows = [tuple(header), tuple("---" for _ in header), *rows]
    lines = (" | ".join(markdown(str(cell)) for cell in row) for row in rows)
    return "\n".join(f"| {line} |" for line in lines)
