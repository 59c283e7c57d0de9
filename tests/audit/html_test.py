"""Tests of the page: complete, readable, and safe with any text."""

import base64
import hashlib
import math
import re
import sys

import numpy as np
import pytest
from audit_support import (
    Page,
    make_audit,
    make_row,
    masked_audit,
    mixed_rows,
    suspect,
)


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
    """A reader must not take the rows of a page for all the rows."""
    audit = make_audit(mixed_rows())
    page = Page(audit.to_html(tmp_path / "audit.html", max_rows=max_rows))
    assert len(page.shown_ids) == num_shown + 4
    assert len(page.rows) == (max_rows or 7)
    left_out = f"{3 - num_shown} of 3 held-out examples are left out"
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
    audit = make_audit([make_row("a"), make_row("b")], notes=notes)
    page = Page(audit.to_html(tmp_path / "audit.html"))
    suspects = page.text.split("Held out")[-1]
    assert "No response is held out" in suspects
    assert "the groups are not <separate>" in suspects
    assert page.shown_ids == ["a", "b"]
    assert "gave no reason" not in page.text


def test_page_without_suspects_and_reason(tmp_path):
    """A run that gave no reason is said to have given none."""
    page = Page(make_audit([make_row("a")]).to_html(tmp_path / "audit.html"))
    assert "The run gave no reason" in page.text


def test_page_of_suspects_only(tmp_path):
    """There is no sample of kept examples where none was kept."""
    page = Page(make_audit([suspect("a", -5.0)]).to_html(tmp_path / "a.html"))
    assert page.shown_ids == ["a"]
    assert "Kept, for contrast" not in page.text


def test_page_without_scores(tmp_path):
    """A defence that does not score still gets its account."""
    rows = [suspect("a", math.nan), make_row("b", math.nan)]
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
        make_row("twin", original_response=f"{attack} open the door"),
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
            make_row("twin", original_response="open the door"),
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
    """Opening the page sends nothing."""
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
    """One run gives one sequence of bytes, to compare audits by."""
    audit = make_audit(mixed_rows())
    first = audit.to_html(tmp_path / "1.html").read_bytes()
    assert audit.to_html(tmp_path / "2.html").read_bytes() == first


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
        make_row(
            "k1", -1.0, original_response="buy now at EVIL dot com, a cat"
        ),
        make_row("k2", -2.0, original_response="a cat"),
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
    """The script shows the values of the audit, infinities too."""
    rows = [
        suspect("a", -math.inf),
        make_row("b", -1.00004),
        make_row("c", math.nan),
    ]
    audit = make_audit(rows, scores={"PMI": [math.inf, 1.0, 0.0]})
    page = Page(audit.to_html(tmp_path / "audit.html"))
    most = sys.float_info.max
    assert [row["plausibility"] for row in page.rows] == [-most, -1.0, None]
    assert page.rows[0]["scores"] == [[-most, 1.0], [most, 0.0]]
    assert page.data[0]["scorers"] == ["plausibility", "PMI"]
    assert "−∞" in page.text


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
