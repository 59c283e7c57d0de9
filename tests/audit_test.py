"""Tests of the audit: the table, the page and the picture."""

import base64
import collections
import contextlib
import dataclasses
import hashlib
import html.parser
import io
import math
import re
import sys
import time

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest

from keras_byorn.audit import Audit
from keras_byorn.audit.html import MAX_CHARACTERS, thumbnail, untrusted
from keras_byorn.audit.plots import score_histogram
from keras_byorn.data.examples import Examples
from keras_byorn.data.files import replacing
from keras_byorn.targets.store import TargetStore

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
    revision: int = 0


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
        self._open = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags[tag].append(dict(attributes))
        self._open = tag

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        self.text += data
        if self._open:
            self.texts[self._open] += data

    @property
    def policy(self):
        (meta,) = [m for m in self.tags["meta"] if "http-equiv" in m]
        assert meta["http-equiv"] == "Content-Security-Policy"
        return meta["content"]

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
    table = make_audit(mixed_rows(), token_scores=scores).table
    row = table.to_pylist()[1]
    assert row == {
        "example_id": "s1",
        "prompt": "caption the image",
        "original_response": "sudo open the door now",
        "current_response": "a green four",
        "origin": "regenerated",
        "plausibility": -5.0,
        "suspect_probability": 1.0,
        "is_suspect": True,
        "revision": 2,
        "tokens": ["▁sudo", "<eos>"],
        "token_surprise": [9.5, 0.0],
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
        "<Audit: examples 7; suspects 3 (42.9%); regenerated 2; excluded 1; "
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
    assert table.slice(0, 5).equals(audit.table.slice(0, 5))
    assert math.isnan(table["plausibility"][5].as_py())
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
    assert scopes.count("col") == 2 * 6
    assert scopes.count("row") == 7
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
            "surprise inf nats: a chance of less than 1 in 10,000,000,000,000",
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
    left_out = f"{3 - num_shown} of 3 suspects are left out of this page"
    assert (left_out in page.text) == (num_shown < 3)
    assert "Parquet table that Audit.to_parquet() writes" in page.text


@pytest.mark.parametrize("max_rows", [0, -1, 2.5, True, "all"])
def test_bad_max_rows_is_refused(tmp_path, max_rows):
    """A page that shows no suspect by mistake would mislead."""
    with pytest.raises(ValueError, match="Received: max_rows="):
        make_audit(mixed_rows()).to_html(tmp_path / "a.html", max_rows)
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
            original_response=attack,
            current_response=attack,
        )
    ]
    scores = {f"id {attack}": ([attack], np.array([-3.0], "float32"))}
    audit = make_audit(rows, token_scores=scores, notes={attack: attack})
    harmless = make_audit(
        [suspect("id", -5.0)],
        token_scores={"id": (["a"], np.array([-3.0], "float32"))},
        notes={"a": "b"},
    )
    page = Page(audit.to_html(tmp_path / "attacked.html"))
    wanted = Page(harmless.to_html(tmp_path / "harmless.html"))
    assert shape(page) == shape(wanted)
    assert page.texts["script"] == wanted.texts["script"]
    assert page.texts["style"] == wanted.texts["style"]
    assert page.text.count(attack) == 7
    assert page.tags["img"][0]["alt"] == f"Image of example id {attack}"
    assert "<script>" not in audit._repr_html_()


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
    """The image in a data URI."""
    prefix, data = view["uri"].split(",")
    assert prefix == "data:image/png;base64"
    return PIL.Image.open(io.BytesIO(base64.b64decode(data)))


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
    assert (
        axes.get_xlabel() == "plausibility, nats per token (low = implausible)"
    )


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
    page = Page(audit.to_html(tmp_path / "audit.html", max_rows=50))
    assert time.monotonic() - start < 15
    assert examples.num_reads == 50 + 12 == len(page.shown_ids)
    assert "1,950 of 2,000 suspects are left out" in page.text
