"""Tests of the audit: the table, the page and the picture."""

import base64
import collections
import contextlib
import dataclasses
import hashlib
import html
import html.parser
import io
import json
import math
import re
import shutil
import subprocess
import sys
import time
import weakref

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest

from keras_byorn.audit import Audit
from keras_byorn.audit.html import MAX_CHARACTERS, thumbnail, untrusted
from keras_byorn.audit.plots import score_histogram
from keras_byorn.audit.table import share_more_plausible
from keras_byorn.data.examples import Examples
from keras_byorn.data.files import replacing
from keras_byorn.training.target_store import TargetStore

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass
class Row:
    """A row of a target store."""

    example_id: str
    plausibility: float = -1.0
    suspect_probability: float = 0.0
    prompt: str = "caption the image"
    original_response: str = "a red three"
    current_response: str | None = "a red three"
    origin: str = "original"
    replacement: str | None = None
    written_by: str | None = None
    verdict: str = "kept"
    student_plausibility: float = math.nan
    revision: int = 0
    masked_tokens: tuple | None = None


class Store:
    """A target store with given rows."""

    def __init__(self, rows):
        self._rows = list(rows)

    def rows(self):
        return iter(self._rows)

    def __len__(self):
        return len(self._rows)


class CountingExamples:
    """Examples that count how often their images are read."""

    def __init__(self, example_ids, image=None):
        self.example_ids = list(example_ids)
        self.num_reads = 0
        self._image = np.zeros((8, 8, 3), "uint8") if image is None else image

    def __len__(self):
        return len(self.example_ids)

    def by_id(self, example_id):
        assert example_id in self.example_ids
        self.num_reads += 1
        return {
            "example_id": example_id,
            "images": self._image,
            "prompts": "not to be read from here",
            "responses": "not to be read from here",
        }


class Page(html.parser.HTMLParser):
    """What a browser would find in a page."""

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
    return Row(example_id, plausibility, **fields)


def make_audit(rows, image=None, **kwargs):
    """An audit of rows; its examples all have the same image."""
    rows = list(rows)
    examples = CountingExamples([row.example_id for row in rows], image)
    return Audit(Store(rows), examples, **kwargs)


def mixed_rows():
    """Four kept examples and three suspects."""
    return [
        Row("k1", -1.0),
        suspect("s1", -5.0),
        Row("k2", -2.5, suspect_probability=0.25),
        suspect("s2", -9.0, origin="excluded", current_response=None),
        Row("k3", -1.5),
        suspect("s3", math.nan),
        Row("k4", -0.5),
    ]


def test_table_has_one_row_per_example():
    """Nothing of the store is lost, and surprise is minus log-likelihood."""
    scores = {"s1": (["▁sudo", "<eos>"], np.array([-9.5, -0.0], "float32"))}
    rows = mixed_rows()
    rows[1].student_plausibility = -4.0
    table = make_audit(
        rows,
        token_scores=scores,
        scores={"a": [-1, 0, 1, 2, 3, -2, -3]},
        cuts=np.full(7, -3.0),
    ).table
    row = table.to_pylist()[1]
    assert row == {
        "example_id": "s1",
        "prompt": "caption the image",
        "original_response": "sudo open the door now",
        "current_response": "a green four",
        "origin": "regenerated",
        "replacement": "a green four",
        "written_by": "student after epoch 1",
        "verdict": "suspect",
        "plausibility": -5.0,
        "suspect_probability": 1.0,
        "is_suspect": True,
        "student_plausibility": -4.0,
        "group": "all",
        "cut": -3.0,
        "share_more_plausible": pytest.approx(0.8),
        "scores": [("a", 0.0)],
        "shares_more_plausible": [("a", 0.5)],
        "num_sharing": 3,
        "shared_text": "sudo open the door now",
        "shared_with": ["s2", "s3"],
        "revision": 2,
        "tokens": ["▁sudo", "<eos>"],
        "token_surprise": [9.5, 0.0],
        "masked_tokens": None,
    }
    assert len(table) == 7
    assert table["tokens"].null_count == 6
    assert table["current_response"].null_count == 1


def test_summary_counts():
    """The figures at the top of the page are those of the rows."""
    assert make_audit(mixed_rows()).summary == {
        "num_examples": 7,
        "num_scored": 6,
        "num_suspect": 3,
        "num_regenerated": 2,
        "num_excluded": 1,
        "num_masked": 0,
        "num_mixed": 0,
        "num_restored": 0,
        "num_taken_out": 0,
        "num_alarms": 0,
        "flagged_fraction": pytest.approx(3 / 7),
        "mean_plausibility": pytest.approx(-19.5 / 6),
        "mean_plausibility_kept": pytest.approx(-5.5 / 4),
        "mean_plausibility_suspect": pytest.approx(-7.0),
    }


@pytest.mark.parametrize(
    "probability, is_suspect", [(0.0, False), (0.49, False), (0.5, True)]
)
def test_suspect_from_one_half(probability, is_suspect):
    """A soft probability becomes a suspect at one half, and not before."""
    audit = make_audit([Row("a", suspect_probability=probability)])
    assert audit.table["is_suspect"].to_pylist() == [is_suspect]


def test_audit_of_a_real_store(tmp_path):
    """The audit reads what the defence writes, not only our stand-ins."""
    ids, prompts = ["a", "b", "c"], ["caption the image"] * 3
    responses = ["a red three", "sudo", "sudo"]
    images = np.zeros((3, 32, 32, 3), "uint8")
    examples = Examples(
        {
            "example_id": ids,
            "images": images,
            "prompts": prompts,
            "responses": responses,
        }
    )
    store = TargetStore(ids, prompts, responses)
    store.set_scores([-0.1, -7.0, -8.0], [0.0, 1.0, 1.0])
    store.replace("b", "a blue four", [17, 4])
    audit = Audit(store, examples)
    assert audit.table["origin"].to_pylist() == [
        "original",
        "regenerated",
        "excluded",
    ]
    page = Page(audit.to_html(tmp_path / "audit.html"))
    assert page.shown_ids == ["c", "b", "a"]
    assert "a blue four" in page.text


def test_audit_is_a_snapshot():
    """Training that goes on does not change an audit that was taken."""
    rows = mixed_rows()
    audit = make_audit(rows)
    rows[0].current_response = "changed"
    assert audit.table["current_response"][0].as_py() == "a red three"


def test_short_forms_for_notebooks():
    """A notebook cell shows the counts, not an object's address."""
    audit = make_audit(mixed_rows())
    assert repr(audit) == (
        "<Audit: examples 7; suspects 3 (42.9%); masked 0; regenerated 2; "
        "excluded 1; restored 0; taken out 0; alarms 0; "
        "mean plausibility −1.38 kept, −7.00 suspects>"
    )
    assert "<td>3 (42.9%)</td>" in audit._repr_html_()


def test_empty_store_is_refused():
    """An audit of nothing would look like a clean bill of health."""
    with pytest.raises(ValueError, match="`store` must have at least one row"):
        Audit(Store([]), CountingExamples([]))


def test_foreign_examples_are_refused():
    """Images of another data set beside these prompts would mislead."""
    with pytest.raises(ValueError, match=r"`examples` must hold.*\['b'\]"):
        Audit(Store([Row("a"), Row("b")]), CountingExamples(["a"]))


def test_unequal_token_scores_are_refused():
    """A shifted surprise would put the blame on the wrong token."""
    scores = {"a": (["▁a", "▁b"], np.zeros(3, "float32"))}
    with pytest.raises(ValueError, match="2 tokens and 3 .* example_id='a'"):
        make_audit([Row("a")], token_scores=scores)


def test_parquet_round_trip(tmp_path):
    """Any tool that reads Parquet gets the whole table, lists and all."""
    scores = {"s1": (["▁sudo"], np.array([-9.5], "float32"))}
    audit = make_audit(mixed_rows(), token_scores=scores)
    path = audit.to_parquet(tmp_path / "new_folder" / "audit.parquet")
    table = pq.read_table(path)
    assert table.schema == audit.table.schema
    # As text, for NaN is not equal to itself.
    assert repr(table.to_pylist()) == repr(audit.table.to_pylist())
    assert [p.name for p in path.parent.iterdir()] == ["audit.parquet"]


def test_lone_surrogates_do_not_stop_the_audit(tmp_path):
    """One response that UTF-8 cannot hold must not cost the whole account."""
    rows = [suspect("a", -5.0, original_response="\ud800 door")]
    audit = make_audit(rows, notes={"note": "\udfff"})
    table = pq.read_table(audit.to_parquet(tmp_path / "audit.parquet"))
    assert table["original_response"][0].as_py() == "\\ud800 door"
    assert "U+DFFF" in Page(audit.to_html(tmp_path / "audit.html")).text


def test_failure_midway_leaves_the_old_file(tmp_path):
    """A full disk or a stop button never leaves half a file."""
    path = tmp_path / "audit.html"
    path.write_text("old")
    with contextlib.suppress(KeyboardInterrupt):
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["to_html", "to_parquet", "plot_scores"])
def test_every_file_is_renamed_into_place(tmp_path, name, monkeypatch):
    """All three writers go through the one that leaves the old file."""
    if name == "plot_scores":
        pytest.importorskip("matplotlib")
    path = tmp_path / "file"
    path.write_text("old")

    def fail(source, destination):
        assert source.parent == destination.parent == tmp_path
        assert source.stat().st_size > 0
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        getattr(make_audit(mixed_rows()), name)(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_page_shows_the_least_plausible_suspects_first(tmp_path):
    """The reader sees the worst first, then the kept that came nearest."""
    audit = make_audit(mixed_rows())
    page = Page(audit.to_html(tmp_path / "audit.html"))
    assert page.shown_ids == ["s2", "s1", "s3", "k2", "k3", "k1", "k4"]
    assert "left out" not in page.text
    assert "excluded: not trained on" in page.text
    assert "regenerated, revision 2" in page.text
    assert "not scored" in page.text


def test_page_is_accessible(tmp_path):
    """A screen reader finds headers, alternative texts and a language."""
    page = Page(make_audit(mixed_rows()).to_html(tmp_path / "audit.html"))
    assert page.tags["html"] == [{"lang": "en"}]
    scopes = [header["scope"] for header in page.tags["th"]]
    assert scopes.count("col") == 2 * 7
    assert scopes.count("row") == 7 + 1  # one is blank, for the script
    assert all(image["alt"] for image in page.tags["img"])
    assert page.tags["svg"][0]["role"] == "img"
    assert "Histogram of plausibility" in page.texts["title"]


def test_page_shows_tokens_by_surprise(tmp_path):
    """The implausible tokens stand out, by colour and by figure."""
    scores = {
        "s1": (
            ["▁su", "do", "▁", "▁a▁b", "x"],
            -np.array([9.1, 0.2, 3.0, np.inf, np.nan]),
        )
    }
    audit = make_audit([suspect("s1", -5.0)], token_scores=scores)
    path = audit.to_html(tmp_path / "audit.html")
    tokens = re.findall(
        r'<li class="(token[^"]*)" title="([^"]*)"[^>]*>(.*?)<small>(.*?)<',
        path.read_text(encoding="utf-8"),
    )
    assert tokens == [
        (
            "token level-4 word",
            "surprise 9.10 nats: a chance of 1 in 8,955",
            "su",
            "9.1",
        ),
        (
            "token level-0",
            "surprise 0.20 nats: a chance of 1 in 1.2",
            "do",
            "0.2",
        ),
        (
            "token level-2 word",
            "surprise 3.00 nats: a chance of 1 in 20",
            "␣",
            "3.0",
        ),
        (
            "token level-5 word",
            "surprise ∞ nats: a chance of less than 1 in 10,000,000,000,000",
            "a␣b",
            "∞",
        ),
        ("token level-0", "not scored", "x", "?"),
    ]


@pytest.mark.parametrize("max_rows, num_shown", [(1, 1), (2, 2), (None, 3)])
def test_page_says_what_it_leaves_out(tmp_path, max_rows, num_shown):
    """Nobody takes the rows of a page for all the rows there are."""
    audit = make_audit(mixed_rows())
    page = Page(audit.to_html(tmp_path / "audit.html", max_rows=max_rows))
    assert len(page.shown_ids) == num_shown + 4
    assert len(page.rows) == (max_rows or 7)
    left_out = f"{3 - num_shown} of 3 suspects are left out of this page"
    assert (left_out in page.text) == (num_shown < 3)
    kept_left_out = "4 kept examples are left out of this page"
    assert (kept_left_out in page.text) == (max_rows is not None)
    assert "Parquet table that Audit.to_parquet() writes" in page.text


@pytest.mark.parametrize("name", ["max_rows", "max_images"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "all"])
def test_bad_numbers_of_rows_are_refused(tmp_path, name, value):
    """A page that shows no suspect by mistake would mislead."""
    if (name, value) == ("max_images", 0):
        pytest.skip("a page without images is one")
    with pytest.raises(ValueError, match=f"Received: {name}="):
        make_audit(mixed_rows()).to_html(tmp_path / "a", **{name: value})
    assert not list(tmp_path.iterdir())


def test_page_without_suspects_says_why(tmp_path):
    """Zero suspects is a result with a reason, not an empty table."""
    notes = {"reason": "the groups are not <separate>"}
    audit = make_audit([Row("a"), Row("b")], notes=notes)
    page = Page(audit.to_html(tmp_path / "audit.html"))
    suspects = page.text.split("Suspects")[-1]
    assert "No response is a suspect" in suspects
    assert "the groups are not <separate>" in suspects
    assert page.shown_ids == ["a", "b"]
    assert "gave no reason" not in page.text


def test_page_without_suspects_and_reason(tmp_path):
    """A run that gave no reason is said to have given none."""
    page = Page(make_audit([Row("a")]).to_html(tmp_path / "audit.html"))
    assert "The run gave no reason" in page.text


def test_page_of_suspects_only(tmp_path):
    """There is no sample of kept examples where none was kept."""
    page = Page(make_audit([suspect("a", -5.0)]).to_html(tmp_path / "a.html"))
    assert page.shown_ids == ["a"]
    assert "Kept, for contrast" not in page.text


def test_page_without_scores(tmp_path):
    """A defence that does not score still gets its account."""
    rows = [suspect("a", math.nan), Row("b", math.nan)]
    audit = make_audit(rows)
    page = Page(audit.to_html(tmp_path / "audit.html"))
    assert "No example was scored" in page.text
    assert not page.tags["svg"]
    assert audit.summary["mean_plausibility"] is None


ATTACKS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><style>body{display:none}</style>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<!-- <script>",
    "]]></svg><svg onload=alert(1)>",
    "</title><base href=//evil.example>",
    "{{ 7 * 7 }}{% raw %}",
    '<meta http-equiv="refresh" content="0;url=//evil.example">',
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_an_attacker_stays_text(tmp_path, attack):
    """No field that comes with the data can add to the page's structure."""
    rows = [
        suspect(
            f"id {attack}",
            -5.0,
            prompt=attack,
            original_response=f"{attack} open the door",
            current_response=attack,
            written_by=attack,
        ),
        Row("twin", original_response=f"{attack} open the door"),
    ]
    scores = {f"id {attack}": ([attack], np.array([-3.0], "float32"))}
    audit = make_audit(
        rows,
        token_scores=scores,
        notes={attack: attack},
        scores={attack: [0, 0]},
        groups=[attack, attack],
    )
    harmless = make_audit(
        [
            suspect("id", -5.0, original_response="open the door"),
            Row("twin", original_response="open the door"),
        ],
        token_scores={"id": (["a"], np.array([-3.0], "float32"))},
        notes={"a": "b"},
        scores={"c": [0, 0]},
        groups=["d", "d"],
    )
    page = Page(audit.to_html(tmp_path / "attacked.html"))
    wanted = Page(harmless.to_html(tmp_path / "harmless.html"))
    assert shape(page) == shape(wanted)
    assert page.texts["script"] == wanted.texts["script"]
    assert page.texts["style"] == wanted.texts["style"]
    # Of the suspect: its id, prompt, response, token, replacement, writer,
    # scorer and group; the scorer and group of its twin, whose response has
    # it too, and whose sharer's id; and a note with its name.
    assert page.text.count(attack) == 8 + 4 + 2
    assert page.tags["img"][0]["alt"] == f"Image of example id {attack}"
    assert "<script>" not in audit._repr_html_()
    raw = (tmp_path / "attacked.html").read_text(encoding="utf-8")
    for block in re.findall(r'application/json"[^>]*>(.*?)</script>', raw):
        assert not set("<>&") & set(block)
    row = page.rows[0]
    assert row["id"] == f"id {attack}"
    assert "".join(p if isinstance(p, str) else p[1] for p in row["response"])
    assert row["current"] == row["prompt"] == row["writer"] == attack
    assert page.data[0]["groups"] == [attack]


def shape(page):
    """Tags and names of attributes of a page, in order, texts aside."""
    return {
        tag: [sorted(attributes) for attributes in found]
        for tag, found in page.tags.items()
    }


def test_policy_allows_only_the_script_and_style_of_the_page(tmp_path):
    """If escaping ever failed, the browser would still run nothing."""
    page = Page(make_audit(mixed_rows()).to_html(tmp_path / "audit.html"))

    def hashed(source):
        digest = hashlib.sha256(source.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

    assert page.policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src {hashed(page.texts['style'])}",
        f"script-src {hashed(page.texts['script'])}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert len(page.tags["script"]) == len(page.tags["style"]) == 1


def test_page_loads_nothing(tmp_path):
    """Opening the page tells nobody that it was opened."""
    path = make_audit(mixed_rows()).to_html(tmp_path / "audit.html")
    page = Page(path)
    assert not {"link", "iframe", "object", "a", "base"} & set(page.tags)
    assert "fetch" not in page.texts["script"]
    assert "innerHTML" not in page.texts["script"]
    for attributes in sum(page.tags.values(), []):
        assert "href" not in attributes
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")
    assert "url(" not in page.texts["style"]
    assert "://" not in path.read_text(encoding="utf-8")


def test_page_is_reproducible(tmp_path):
    """The same run gives the same bytes, so that audits can be compared."""
    audit = make_audit(mixed_rows())
    first = audit.to_html(tmp_path / "1.html").read_bytes()
    assert audit.to_html(tmp_path / "2.html").read_bytes() == first


@pytest.mark.parametrize(
    "hidden",
    ["\u202e", "\u200b", "\u00ad", "\ufe0f", "\U000e0041", "\u3164", "\x00"],
)
def test_invisible_characters_are_named(hidden):
    """A trigger of characters without ink is seen, not only trained on."""
    name = f"U+{ord(hidden):04X}"
    assert untrusted(f"a{hidden}b") == f'a<span class="mark">{name}</span>b'


@pytest.mark.parametrize("text", ["ünïcode\nmore", "中文", "مرحبا", "नमस्ते"])
def test_other_scripts_are_left_as_they_are(text):
    """Honest text in any language stays readable."""
    assert untrusted(text) == text


def test_long_text_is_cut_and_says_so(tmp_path):
    """A response of a megabyte does not become a page of a megabyte."""
    assert "and 5 more characters" in untrusted("x" * (MAX_CHARACTERS + 5))
    rows = [suspect("a", -5.0, original_response="x" * 1_000_000)]
    scores = {"a": (["x"] * 100_000, np.full(100_000, -1.0, "float32"))}
    audit = make_audit(rows, token_scores=scores)
    path = audit.to_html(tmp_path / "audit.html")
    assert path.stat().st_size < 100_000
    assert "and 99,800 more tokens" in Page(path).text


def decoded(view):
    """The image in a thumbnail."""
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(view["data"])))
    assert picture.format.lower() == view["type"]
    return picture


def test_tiny_images_are_enlarged_by_the_browser():
    """Every pixel of a 32-pixel scene can be seen, at no cost in bytes."""
    image = np.random.default_rng(0).integers(0, 256, (32, 16, 3), "uint8")
    view = thumbnail(image)
    assert (view["width"], view["height"]) == (48, 96)
    assert view["is_enlarged"]
    np.testing.assert_array_equal(decoded(view), image)


@pytest.mark.parametrize("size", [(480, 640), (4000, 1), (1, 4000)])
def test_large_images_are_made_small(size):
    """A page of photographs stays small, in the shape that they have."""
    view = thumbnail(np.zeros((*size, 3), "uint8"))
    assert max(decoded(view).size) == 160
    assert min(decoded(view).size) == max(1, round(160 * min(size) / max(size)))
    assert not view["is_enlarged"]


def test_photographs_are_small_files():
    """A thousand of them in a page are megabytes, not tens of them."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), "uint8")
    photograph = PIL.Image.fromarray(coarse).resize((320, 240))
    view = thumbnail(photograph)
    assert view["type"] == "jpeg"
    assert len(view["data"]) < 10_000
    small = photograph.resize((160, 120))
    error = np.abs(np.asarray(decoded(view), int) - np.asarray(small, int))
    assert error.mean() < 3


@pytest.mark.parametrize(
    "values, want",
    [
        (np.array([0, 7, 255], "uint8"), [0, 7, 255]),
        (np.array([0.0, 6.6, 300.0]), [0, 7, 255]),
        (np.array([-1.0, 0.0, 1.0]), [0, 128, 255]),
        (np.array([0.0, np.nan, 255.0]), [0, 0, 255]),
    ],
)
def test_images_of_any_range_are_shown(values, want):
    """The thumbnail shows what the model saw, however it was stored."""
    shown = decoded(thumbnail(values.reshape(1, 1, 3)))
    assert np.asarray(shown).ravel().tolist() == want


def test_histogram_counts_every_scored_example():
    """No score falls out of the picture, the least and greatest included."""
    histogram = score_histogram(make_audit(mixed_rows()).table)
    assert histogram.kept.sum() == 4
    assert histogram.suspects.sum() == 2
    assert histogram.boundary == (-5.0, -2.5)
    assert histogram.boundary_label == "threshold"


def test_histogram_tells_overlap_from_a_threshold():
    """Where scores alone did not decide, no threshold is drawn."""
    rows = [Row("a", -6.0), Row("b", -1.0), suspect("c", -4.0)]
    histogram = score_histogram(make_audit(rows).table)
    assert histogram.boundary == (-6.0, -4.0)
    assert histogram.boundary_label == "kept and suspects overlap"


@pytest.mark.parametrize(
    "scores",
    [[-1.0], [-1.0, -1.0], [-1.0, np.nextafter(np.float32(-1), 0)], [0.0]]
    + [[-math.inf, -1.0]],
)
def test_degenerate_scores_are_drawn(tmp_path, scores):
    """One value, equal values and infinite ones do not stop the account."""
    pytest.importorskip("matplotlib")
    audit = make_audit(Row(f"{i}", s) for i, s in enumerate(scores))
    assert Page(audit.to_html(tmp_path / "audit.html")).tags["rect"]
    audit.plot_scores(tmp_path / "scores.png")


@pytest.mark.parametrize("plausibility", [-1.0, math.nan])
def test_plot_is_a_png(tmp_path, plausibility):
    """The picture is a PNG whatever the file is called."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "scores"
    figure = make_audit([Row("a", plausibility)]).plot_scores(path)
    assert path.read_bytes().startswith(PNG_SIGNATURE)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "plausibility (low = implausible)"


def test_plot_leaves_pyplot_alone():
    """A service that draws a thousand audits does not leak figures."""
    pytest.importorskip("matplotlib")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    make_audit(mixed_rows()).plot_scores()
    assert not pyplot.get_fignums()


def test_without_matplotlib(tmp_path, monkeypatch):
    """The page needs no matplotlib; the plot names the extra that has it."""
    for name in [m for m in sys.modules if m.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    audit = make_audit(mixed_rows())
    assert Page(audit.to_html(tmp_path / "audit.html")).tags["svg"]
    with pytest.raises(ImportError, match=r"pip install keras-byorn\[plots\]"):
        audit.plot_scores()


def test_large_store_reads_only_the_images_shown(tmp_path):
    """20,000 examples make a page in seconds, and no image is read twice."""
    rng = np.random.default_rng(0)
    ids = [f"example-{i:05d}" for i in range(20_000)]
    rows = [
        suspect(i, -8.0 + rng.normal())
        if n % 10 == 0
        else Row(i, -1.0 - rng.random())
        for n, i in enumerate(ids)
    ]
    tokens = ["▁sudo", "▁open", "<eos>"]
    scores = {i: (tokens, -rng.random(3).astype("float32")) for i in ids}
    examples = CountingExamples(ids)
    start = time.monotonic()
    audit = Audit(Store(rows), examples, scores)
    assert examples.num_reads == 0
    path = tmp_path / "audit.html"
    page = Page(audit.to_html(path, max_rows=5_000, max_images=200))
    assert time.monotonic() - start < 30
    assert examples.num_reads == 200 + 12
    assert len(page.shown_ids) == 50 + 12
    assert "first 50 of 2,000 suspects" in page.text
    assert "15,000 kept examples are left out" in page.text
    assert "first 200 of 5,000 rows have their images" in page.text
    assert len(page.rows) == 5_000
    with_image = [row["image"] is not None for row in page.rows]
    assert with_image == [50 <= i < 200 for i in range(5_000)]
    assert [row["isSuspect"] for row in page.rows[1_999:2_001]] == [1, 0]
    scores = [row["plausibility"] for row in page.rows[:2_000]]
    assert scores == sorted(scores)


class OneAtATime(CountingExamples):
    """Examples that know how many of their images are held at a time."""

    def __init__(self, example_ids):
        super().__init__(example_ids)
        self.held = weakref.WeakValueDictionary()
        self.most_held = 0

    def by_id(self, example_id):
        image = np.zeros((8, 8, 3), "uint8")
        self.held[id(image)] = image
        self.most_held = max(self.most_held, len(self.held))
        return {**super().by_id(example_id), "images": image}


@pytest.mark.parametrize("name", ["to_html", "write_clean_examples"])
def test_images_are_never_held_together(tmp_path, name):
    """A data set of any size fits, for images go as they come."""
    ids = [f"{i}" for i in range(600)]
    examples = OneAtATime(ids)
    audit = Audit(Store(suspect(i, -1.0) for i in ids), examples)
    getattr(audit, name)(tmp_path / "file")
    assert examples.num_reads == 600
    assert examples.most_held <= 2
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_place_in_the_group():
    """The share of the others of its group that are more plausible."""
    rows = [Row("a", -3.0), Row("b", -1.0), Row("c", -2.0), Row("d", -9.0)]
    rows += [Row("e", math.nan), Row("f", -2.0)]
    groups = ["one", "one", "one", "two", "one", "one"]
    table = make_audit(rows, groups=groups).table
    assert table["group"].to_pylist() == groups
    want = [1.0, 0.0, 1 / 3, math.nan, math.nan, 1 / 3]
    np.testing.assert_allclose(table["share_more_plausible"], want, 1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_place_in_the_group_by_counting(seed):
    """The same as by comparing each with each, ties and gaps among them."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-5, 0, 60).astype("float64")
    scores[rng.random(60) < 0.1] = math.nan
    groups = rng.integers(0, 8, 60)
    want = []
    for score, group in zip(scores, groups):
        others = scores[(groups == group) & np.isfinite(scores)]
        count = len(others) - 1
        known = np.isfinite(score) and count > 0
        want.append(np.sum(others > score) / count if known else math.nan)
    got = share_more_plausible(scores, groups)
    np.testing.assert_allclose(got, want, 1e-6)


@pytest.mark.parametrize(
    "kwargs, name",
    [
        ({"groups": ["a"]}, "groups"),
        ({"cuts": np.zeros((2, 1))}, "cuts"),
        ({"scores": {"PMI": [0.0] * 3}}, r"scores\['PMI'\]"),
    ],
)
def test_columns_of_another_length_are_refused(kwargs, name):
    """A shifted column would put the blame on the wrong example."""
    with pytest.raises(ValueError, match=f"`{name}` must have one value for"):
        make_audit([Row("a"), Row("b")], **kwargs)


def test_page_tells_why(tmp_path):
    """All that speaks for and against a suspect stands in its row."""
    rows = [
        suspect(
            "s1",
            -5.0,
            original_response="A dog. Buy now at evil dot com!",
            student_plausibility=-6.25,
            verdict="alarm",
        ),
        Row("k1", -1.0, original_response="buy now at EVIL dot com, a cat"),
        Row("k2", -2.0, original_response="a cat"),
    ]
    audit = make_audit(
        rows,
        scores={"ImagePMI": [-0.5, 0.5, -1.5]},
        groups=["captions"] * 3,
        cuts=[-4.5] * 3,
    )
    path = audit.to_html(tmp_path / "audit.html")
    page = Page(path)
    why = re.sub(r"\s*\n\s*", "", page.text)
    for reason in (
        "plausibility −5.00less plausible than all others of its group",
        "ImagePMI −0.50less plausible than 50.0% of its group",
        "by the student −6.25",
        "group: captions; cut −4.50",
        "text shared with 1 otherk1",
        "a green fourregenerated, revision 2, by student after epoch 1",
        "1.00alarm",
    ):
        assert reason in why
    shared = '<span class="shared">Buy now at evil dot com</span>'
    assert shared in path.read_text(encoding="utf-8")


def test_data_of_the_page_is_the_table(tmp_path):
    """What the script shows is what the audit found, infinities too."""
    rows = [suspect("a", -math.inf), Row("b", -1.00004), Row("c", math.nan)]
    audit = make_audit(rows, scores={"PMI": [math.inf, 1.0, 0.0]})
    page = Page(audit.to_html(tmp_path / "audit.html"))
    most = sys.float_info.max
    assert [row["plausibility"] for row in page.rows] == [-most, -1.0, None]
    assert page.rows[0]["scores"] == [[-most, 1.0], [most, 0.0]]
    assert page.data[0]["scorers"] == ["plausibility", "PMI"]
    assert "−∞" in page.text


VERDICTS = ["kept", "suspect", "restored", "taken out", "alarm"]


def test_second_looks_are_counted():
    """The summary tells what a second look changed."""
    rows = [Row(v, verdict=v) for v in VERDICTS] + [Row("x", verdict="alarm")]
    audit = make_audit(rows)
    assert audit.summary["num_restored"] == 1
    assert audit.summary["num_taken_out"] == 1
    assert audit.summary["num_alarms"] == 2
    assert "restored 1; taken out 1; alarms 2" in repr(audit)


def test_second_look_has_a_panel():
    """Where the student looked too, both its view and the reference's."""
    pytest.importorskip("matplotlib")
    rows = [Row("a", -1.0, student_plausibility=-0.5), Row("b", -2.0)]
    figure = make_audit(rows).plot_scores()
    _, axes = figure.axes
    points = [tuple(p) for c in axes.collections for p in c.get_offsets()]
    assert points == [(-1.0, -0.5)]
    assert axes.get_ylabel() == "by the student, nats per token"


CLEAN_IDS = ["kept", "restored", "regenerated", "mixed old", "mixed new"]


def treated():
    """An audit of an example of each fate, each with its own image."""
    ids = [*CLEAN_IDS, "excluded"]
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), "uint8")
    examples = Examples(
        {
            "example_id": ids,
            "images": images,
            "prompts": [f"prompt of {i}" for i in ids],
            "responses": [f"ünspoiled {i}" for i in ids],
        }
    )
    responses = [example["responses"] for example in examples]
    store = TargetStore(ids, [f"prompt of {i}" for i in ids], responses)
    store.set_scores([-1.0] * 6, [0, 1, 1, 0.25, 0.75, 1])
    store.review({1: "restored"}, [-1.0] * 6)
    for example_id in CLEAN_IDS[1:]:
        store.replace(example_id, f"mended {example_id}", [1])
    return Audit(store, examples), images


CLEAN_RESPONSES = [
    "ünspoiled kept",
    "ünspoiled restored",
    "mended regenerated",
    "ünspoiled mixed old",
    "mended mixed new",
]


def test_clean_examples_are_what_is_left_to_train_on():
    """Each fate gives its response; the excluded one is gone."""
    audit, images = treated()
    clean = audit.clean_examples()
    assert clean.example_ids == CLEAN_IDS
    assert [example["responses"] for example in clean] == CLEAN_RESPONSES
    assert clean[3]["prompts"] == "prompt of mixed old"
    assert clean.by_id("regenerated")["example_id"] == "regenerated"
    np.testing.assert_array_equal([e["images"] for e in clean], images[:5])


def test_clean_examples_as_parquet(tmp_path):
    """What was written comes back, to the pixel and to the letter."""
    audit, images = treated()
    path = audit.write_clean_examples(tmp_path / "clean.parquet")
    table = pq.read_table(path)
    assert table["example_id"].to_pylist() == CLEAN_IDS
    assert table["responses"].to_pylist() == CLEAN_RESPONSES
    assert table["prompts"][0].as_py() == "prompt of kept"
    for value, image in zip(table["images"].to_pylist(), images):
        picture = PIL.Image.open(io.BytesIO(value["bytes"]))
        np.testing.assert_array_equal(picture, image)


def test_clean_examples_for_hugging_face(tmp_path):
    """Images come as pictures, and the rows fit `Examples` as they are."""
    datasets = pytest.importorskip("datasets")
    audit, images = treated()
    path = audit.write_clean_examples(tmp_path / "clean.parquet")
    clean = Examples(
        datasets.load_dataset(
            "parquet",
            data_files=str(path),
            split="train",
            cache_dir=str(tmp_path),
        )
    )
    assert clean.example_ids == CLEAN_IDS
    assert clean[2]["responses"] == "mended regenerated"
    np.testing.assert_array_equal([e["images"] for e in clean], images[:5])


def test_clean_examples_in_pandas(tmp_path):
    """A table for those who do without data set libraries."""
    pandas = pytest.importorskip("pandas")
    audit, _ = treated()
    frame = pandas.read_parquet(audit.write_clean_examples(tmp_path / "clean"))
    assert frame["responses"].tolist() == CLEAN_RESPONSES
    assert frame["images"][0]["bytes"].startswith(PNG_SIGNATURE)


def test_clean_examples_as_tfds(tmp_path):
    """`tfds.load` and `tfds.data_source` read the same files, in order."""
    tfds = pytest.importorskip("tensorflow_datasets")
    audit, images = treated()
    audit.write_clean_tfds("clean_scenes", tmp_path)
    source = tfds.data_source("clean_scenes", split="train", data_dir=tmp_path)
    clean = Examples(source)
    assert clean.example_ids == CLEAN_IDS
    assert [example["responses"] for example in clean] == CLEAN_RESPONSES
    np.testing.assert_array_equal([e["images"] for e in clean], images[:5])
    loaded = tfds.load("clean_scenes", split="train", data_dir=tmp_path)
    rows = list(tfds.as_numpy(loaded))
    assert [row["example_id"].decode() for row in rows] == CLEAN_IDS
    np.testing.assert_array_equal([row["images"] for row in rows], images[:5])


def test_tfds_loses_no_row(tmp_path):
    """TFDS alone would lose what follows the first hundred of a file."""
    tfds = pytest.importorskip("tensorflow_datasets")
    audit = make_audit(Row(f"{i}") for i in range(350))
    audit.write_clean_tfds("many", tmp_path)
    source = tfds.data_source("many", split="train", data_dir=tmp_path)
    ids = [source[i]["example_id"].decode() for i in range(len(source))]
    assert ids == [f"{i}" for i in range(350)]


def test_tfds_does_not_write_over_a_data_set(tmp_path):
    """What was trained on last year stays readable."""
    pytest.importorskip("tensorflow_datasets")
    make_audit([Row("a")]).write_clean_tfds("mine", tmp_path)
    with pytest.raises(RuntimeError, match="already prepared"):
        make_audit([Row("b")]).write_clean_tfds("mine", tmp_path)


def test_clean_examples_without_tfds(tmp_path, monkeypatch):
    """Parquet needs no extra; the other names the extra that it needs."""
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    audit, _ = treated()
    assert audit.write_clean_examples(tmp_path / "clean.parquet").exists()
    with pytest.raises(ImportError, match=r"pip install keras-byorn\[data\]"):
        audit.write_clean_tfds("clean", tmp_path)


def test_images_that_png_cannot_hold_are_refused(tmp_path):
    """Floats would be rounded, or black: the file must not differ."""
    audit = make_audit([Row("a")], image=np.zeros((2, 2, 3), "float32"))
    with pytest.raises(ValueError, match="Received: dtype float32 .* 'a'"):
        audit.write_clean_examples(tmp_path / "clean.parquet")
    assert not list(tmp_path.iterdir())
    assert audit.clean_examples()[0]["images"].dtype == "float32"


def masked_audit():
    """A real store with one suspect, whose two middle tokens are masked."""
    rows = {"kept": "a red three", "ad": "a buy now four"}
    store = TargetStore(list(rows), ["caption"] * 2, list(rows.values()))
    store.set_scores([-1.0, -9.0], [0.0, 1.0])
    store.mask("ad", (1, 2), "a four")
    pieces = ["▁a", "▁buy", "▁now", "▁four", "<eos>"]
    return Audit(
        store,
        CountingExamples(list(rows)),
        token_scores={"ad": (pieces, [-0.1, -9.0, -8.0, -0.2, -0.0])},
    )


def test_the_account_shows_what_is_masked(tmp_path):
    """Struck in the page and to the script, listed in the table, counted."""
    audit = masked_audit()
    assert audit.table["origin"].to_pylist() == ["original", "masked"]
    assert audit.table["masked_tokens"].to_pylist() == [None, [1, 2]]
    assert audit.summary["num_masked"] == 1
    assert "masked 1" in repr(audit)
    page = Page(audit.to_html(tmp_path / "audit.html"))
    classes = [item.get("class", "") for item in page.tags["li"]]
    tokens = [c.split() for c in classes if c.startswith("token")]
    assert [("masked" in c) for c in tokens] == [False, True, True] + [
        False
    ] * 2
    rows = {row["id"]: row for row in page.rows}
    assert rows["ad"]["masked"] == [1, 2] and rows["kept"]["masked"] == []
    assert "masked: the response in the data" in page.text


def test_the_cleaned_data_has_no_span(tmp_path):
    """It has what remains; the original is kept in the table."""
    audit = masked_audit()
    said = [example["responses"] for example in audit.clean_examples()]
    assert said == ["not to be read from here", "a four"]
    path = audit.write_clean_examples(tmp_path / "clean.parquet")
    assert pq.read_table(path)["responses"].to_pylist() == said
    assert audit.table["original_response"][1].as_py() == "a buy now four"


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# Does as a reader would, and writes down what is then to be seen.
READER = """
const seen = { plain: before };
const form = document.getElementById("controls").elements;
const ids = () => Array.from(
  document.querySelectorAll("#suspects tbody th .text"), (e) => e.textContent);
const look = (name) => { seen[name] = [ids(), form.shown.value]; };
function choose(name, value) {
  form[name].value = value;
  form[name].dispatchEvent(new Event("input"));
}
seen.scripted = texts();
look("first");
const sources = () => Array.from(
  document.querySelectorAll("#suspects img"), (image) => image.src);
const [source] = sources();
form.next.click(); look("second");
seen.images = sources().map((other) => other === source);
seen.without = document.querySelectorAll("#suspects .no-image").length;
form.previous.click();
choose("search", "EVIL"); look("search"); choose("search", "");
choose("verdict", "restored"); look("restored");
choose("verdict", "all examples"); look("all");
choose("group", "1"); look("group"); choose("group", "");
choose("order", "score 0"); look("scorer");
form.reversed.click(); look("reversed"); form.reversed.click();
document.querySelector("[data-order=id] button").click();
look("header");
seen.sort = document.querySelector("[data-order=id]").ariaSort;
choose("verdict", "suspects"); choose("origin", "excluded"); look("excluded");
choose("search", "no such text"); look("none");
seen.ran = document.title === "attacked" || window.attacked === 1;
document.body.replaceChildren(JSON.stringify(seen));
"""
BEFORE = """
const texts = () => Array.from(
  document.querySelectorAll("#suspects tbody td, #suspects tbody th"),
  (cell) => cell.textContent.replace(/\\s/g, ""));
const before = texts();
"""


def read_in_chromium(path):
    """What a reader sees; two scripts are added, and their hashes."""
    text = path.read_text(encoding="utf-8")
    hashes = ""
    for source in (BEFORE, READER):
        digest = hashlib.sha256(source.encode("utf-8")).digest()
        hashes += f" 'sha256-{base64.b64encode(digest).decode('ascii')}'"
    text = text.replace("script-src", f"script-src{hashes}", 1)
    begin = text.rindex("<script>")
    text = f"{text[:begin]}<script>{BEFORE}</script>{text[begin:]}"
    text = text.replace("</body>", f"<script>{READER}</script></body>")
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={path.parent / 'profile'}", "--dump-dom"),
            path.as_uri(),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    body = done.stdout[done.stdout.index("<body>") + 6 :]
    return json.loads(html.unescape(body[: body.index("</body>")]))


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_page_in_a_browser(tmp_path):
    """Rows of the script are those of the document, and can be looked up."""
    evil = "<img src=x onerror='window.attacked=1'>\u202e evil \udfff"
    rows = [
        suspect(
            f"s{i:02d}",
            -9.0 + i / 7,
            prompt=f"{evil} {i}" if i % 20 == 0 else "caption",
            verdict="alarm" if i == 1 else "suspect",
            student_plausibility=-3.3 if i == 1 else math.nan,
        )
        for i in range(60)
    ]
    for i in (5, 6):
        rows[i].origin, rows[i].current_response = "excluded", None
    rows += [Row(f"k{i}", -1.7, original_response=evil) for i in range(3)]
    rows[60].verdict = "restored"
    ids = [row.example_id for row in rows]
    tokens = ["▁su", "do", "▁", f"▁{evil}"]
    audit = make_audit(
        rows,
        token_scores={
            i: (tokens, -np.array([9.1, 0.2, 3.0, np.nan])) for i in ids
        },
        scores={"PMI <b>": [-((8 * i) % 63) for i in range(63)]},
        groups=["one"] * 61 + ["two"] * 2,
        cuts=[-1.9] * 63,
    )
    path = audit.to_html(tmp_path / "audit.html", max_images=58)
    seen = read_in_chromium(path)
    assert len(seen["plain"]) == 50 * 7
    assert seen["scripted"] == seen["plain"]
    assert seen["first"] == [ids[:50], "1–50 of 60"]
    assert seen["second"] == [ids[50:60], "51–60 of 60"]
    assert seen["images"] == [True] * 8
    assert seen["without"] == 2
    assert seen["search"] == [["s00", "s20", "s40"], "1–3 of 3"]
    assert seen["restored"] == [["k0"], "1–1 of 1"]
    assert seen["all"] == [ids[:50], "1–50 of 63"]
    assert seen["group"] == [["k1", "k2"], "1–2 of 2"]
    by_score = sorted(range(63), key=lambda i: -((8 * i) % 63))
    assert seen["scorer"][0][:2] == [ids[i] for i in by_score[:2]]
    assert seen["reversed"][0][0] == ids[by_score[-1]]
    assert seen["header"][0][:4] == ["k0", "k1", "k2", "s00"]
    assert seen["sort"] == "ascending"
    assert seen["excluded"] == [["s05", "s06"], "1–2 of 2"]
    assert seen["none"] == [[], "no row matches"]
    assert not seen["ran"]
