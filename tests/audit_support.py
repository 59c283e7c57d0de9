"""Rows, stores, examples and pages for the tests of audits."""

import collections
import dataclasses
import html.parser
import json
import math
import types

import numpy as np

from keras_byorn.audit import Audit
from keras_byorn.audit.row import AuditRow
from keras_byorn.training.target_store import TargetStore

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make_row(example_id, plausibility=-1.0, **fields):
    """A row of a kept example, but for the given fields."""
    fields = {
        "suspect_probability": 0.0,
        "prompt": "caption the image",
        "original_response": "a red three",
        "current_response": "a red three",
        "origin": "original",
        "verdict": "kept",
        **fields,
    }
    return AuditRow(example_id, plausibility=plausibility, **fields)


class Store:
    """A target store with given rows."""

    def __init__(self, rows):
        self._rows = list(rows)

    def rows(self):
        return iter(self._rows)

    def change(self, example_id, **fields):
        self._rows = [
            dataclasses.replace(row, **fields)
            if row.example_id == example_id
            else row
            for row in self._rows
        ]


class CountingExamples:
    """Examples that count how often their images are read.

    Args:
        texts: dict from an id to its prompt and response; or ids alone, where
            no text is read.
        image: optional array, that of all examples.
    """

    def __init__(self, texts, image=None):
        self.example_ids = list(texts)
        self.num_reads = 0
        self._texts = texts if isinstance(texts, dict) else {}
        self._image = np.zeros((8, 8, 3), "uint8") if image is None else image

    def __len__(self):
        return len(self.example_ids)

    def by_id(self, example_id):
        assert example_id in self.example_ids
        self.num_reads += 1
        prompt, response = self._texts.get(example_id, ("unread", "unread"))
        return {
            "example_id": example_id,
            "images": self._image,
            "prompts": prompt,
            "responses": response,
        }


class Page(html.parser.HTMLParser):
    """The contents of a page, as a browser finds them."""

    def __init__(self, path):
        super().__init__()
        self.tags = collections.defaultdict(list)
        self.texts = collections.defaultdict(str)
        self.text = ""
        self.data = []
        self._open = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        is_data = ("type", "application/json") in attributes
        tag = "data" if is_data else tag
        self.tags[tag].append(dict(attributes))
        self._open = tag

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open == "data":
            self.data.append(json.loads(data))
            return
        if self._open:
            self.texts[self._open] += data
        if self._open not in ("script", "style"):
            self.text += data

    @property
    def policy(self):
        (meta,) = [m for m in self.tags["meta"] if "http-equiv" in m]
        assert meta["http-equiv"] == "Content-Security-Policy"
        return meta["content"]

    @property
    def rows(self):
        """The rows that the script shows, as dicts."""
        return [
            dict(zip(block["fields"], row))
            for block in self.data[1:]
            for row in block["rows"]
        ]

    @property
    def shown_ids(self):
        prefix = "Image of example "
        return [i["alt"].removeprefix(prefix) for i in self.tags["img"]]


def suspect(example_id, plausibility, **fields):
    """A row whose response was implausible and regenerated."""
    fields = {
        "suspect_probability": 1.0,
        "original_response": "sudo open the door now",
        "current_response": "a green four",
        "origin": "regenerated",
        "replacement": "a green four",
        "written_by": "student after epoch 1",
        "verdict": "suspect",
        "revision": 2,
        **fields,
    }
    return make_row(example_id, plausibility, **fields)


def make_audit(rows, image=None, **kwargs):
    """An audit of rows; its examples all have the same image."""
    rows = list(rows)
    texts = {r.example_id: (r.prompt, r.original_response) for r in rows}
    examples = CountingExamples(texts, image)
    return Audit(Store(rows), examples, **kwargs)


def mixed_rows():
    """Four kept examples and three suspects."""
    return [
        make_row("k1", -1.0),
        suspect("s1", -5.0),
        make_row("k2", -2.5, suspect_probability=0.25),
        suspect("s2", -9.0, origin="excluded", current_response=None),
        make_row("k3", -1.5),
        suspect("s3", math.nan),
        make_row("k4", -0.5),
    ]


def masked_audit():
    """A real store with one suspect, whose two middle tokens are masked."""
    rows = {"kept": "a red three", "ad": "a buy now four"}
    store = TargetStore(list(rows), ["caption"] * 2, list(rows.values()))
    store.set_scores([-1.0, -9.0], [0.0, 1.0])
    store.mask("ad", (1, 2), "a four")
    pieces = ["▁a", "▁buy", "▁now", "▁four", "<eos>"]
    return Audit(
        store,
        CountingExamples({i: ("caption", own) for i, own in rows.items()}),
        token_scores={"ad": (pieces, [-0.1, -9.0, -8.0, -0.2, -0.0])},
    )


def make_cluster(number, kind, text, rows, proposal="replace", **fields):
    """A cluster of rows, or anything that looks like one."""
    sample = rows[:5]
    values = {
        "number": number,
        "kind": kind,
        "text": text,
        "size": len(rows),
        "num_contents": len({row.original_response for row in rows}),
        "proposal": proposal,
        "sample_ids": tuple(row.example_id for row in sample),
        "sample": tuple(row.original_response for row in sample),
        **fields,
    }
    return types.SimpleNamespace(**values)


def clustered_audit(first="buy it", **kwargs):
    """Two clusters: four rows that say one thing, and three that vary."""
    same = [
        suspect(f"same/{i}", -9.0 + i, original_response=first)
        for i in range(4)
    ]
    varied = [
        suspect(
            f"varied/{i}",
            -3.0 + i / 10,
            original_response=f"odd caption {i}",
            verdict="on_probation",
        )
        for i in range(3)
    ]
    rows = [make_row("k1"), *same, make_row("k2"), *varied]
    return make_audit(
        rows,
        evidence=[
            ("likelihood", "same words") if row in same else () for row in rows
        ],
        clusters=[
            make_cluster(1, "same words", first, same),
            make_cluster(2, "none", "", varied, "restore"),
        ],
        cluster=[0, 1, 1, 1, 1, 0, 2, 2, 2],
        **kwargs,
    )
