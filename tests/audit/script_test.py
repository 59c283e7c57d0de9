"""Tests of the page's script, in a browser."""

import base64
import dataclasses
import hashlib
import html
import json
import math
import shutil
import subprocess

import numpy as np
import pytest
from audit_support import clustered_audit, make_audit, make_row, suspect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# Does as a reader does, and writes down the rows that are shown.
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
choose("verdict", "held out"); choose("origin", "excluded"); look("excluded");
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


def read_in_chromium(path, reader=READER):
    """Reads a page in a browser, with two scripts added, and their hashes."""
    text = path.read_text(encoding="utf-8")
    hashes = ""
    for source in (BEFORE, reader):
        digest = hashlib.sha256(source.encode("utf-8")).digest()
        hashes += f" 'sha256-{base64.b64encode(digest).decode('ascii')}'"
    text = text.replace("script-src", f"script-src{hashes}", 1)
    begin = text.rindex("<script>")
    text = f"{text[:begin]}<script>{BEFORE}</script>{text[begin:]}"
    text = text.replace("</body>", f"<script>{reader}</script></body>")
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
        rows[i] = dataclasses.replace(
            rows[i], origin="excluded", current_response=None
        )
    rows += [make_row(f"k{i}", -1.7, original_response=evil) for i in range(3)]
    rows[60] = dataclasses.replace(rows[60], verdict="restored")
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


LOOK = """
const seen = { plain: before, scripted: texts() };
document.body.replaceChildren(JSON.stringify(seen));
"""


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_page_without_training_in_a_browser(tmp_path):
    """The script lays out one column less, and the reason first."""
    rows = [suspect(f"s{i}", -9.0 + i, revision=0) for i in range(3)]
    audit = make_audit([*rows, make_row("k")], reasons=["far below"] * 4)
    seen = read_in_chromium(audit.to_html(tmp_path / "audit.html"), LOOK)
    assert len(seen["plain"]) == 3 * 6
    assert seen["scripted"] == seen["plain"]
    assert seen["plain"][3].startswith("farbelowplausibility−9.00")


DECIDER = """
const seen = { plain: before, scripted: texts(), files: [], requests: 0 };
const form = document.getElementById("controls").elements;
const ids = () => Array.from(
  document.querySelectorAll("#suspects tbody th .text"), (e) => e.textContent);
const RealBlob = Blob;
window.Blob = function (parts, options) {
  seen.files.push([JSON.parse(parts.join("")), options.type]);
  return new RealBlob(parts, options);
};
HTMLAnchorElement.prototype.click = function () {
  seen.link = [this.download, this.href.startsWith("blob:")];
};
for (const name of ["alert", "confirm", "prompt", "open", "fetch"]) {
  window[name] = () => { seen.requests += 1; };
}
const button = (cluster, name) => document.querySelector(
  `[data-cluster="${cluster}"] ${name}`);
const trust = button(1, "[data-choice=trust]");
const drop = button(1, "[data-choice=drop]");
const save = document.getElementById("export");
seen.hidden = Array.from(
  document.querySelectorAll(".cluster .decide, .export"), (e) => e.hidden);
seen.rows = Array.from(
  document.querySelectorAll("tbody .decide"), (e) => e.hidden);
function choose(name, value) {
  form[name].value = value;
  form[name].dispatchEvent(new Event("input"));
}
const own = (id, choice) => document.querySelector(
  `[aria-label="${choice} example ${id}"]`);
const pressed = (id) => ["trust", "drop"].map(
  (choice) => own(id, choice).getAttribute("aria-pressed"));
seen.tab = [trust, drop, save].map((b) => [b.tagName, b.tabIndex]);
seen.before = [save.disabled, document.getElementById("decided").value];
trust.click(); drop.click();
button(2, "[data-choice=trust]").click();
seen.pressed = [trust, drop].map((b) => b.getAttribute("aria-pressed"));
seen.after = [save.disabled, document.getElementById("decided").value];
save.click();
seen.inherited = pressed("same/1");
own("same/1", "trust").click();
own("varied/0", "trust").click();
choose("verdict", "all examples");
own("k1", "drop").click();
seen.own = ["same/1", "varied/0", "k1"].map(pressed);
seen.both = document.getElementById("decided").value;
choose("order", "id");
seen.kept = ["same/1", "varied/0", "k1"].map(pressed);
save.click();
own("same/1", "trust").click();
own("same/1", "drop").click();
own("varied/0", "trust").click();
own("k1", "drop").click();
choose("order", "listed");
choose("verdict", "held out");
drop.click();
save.click();
button(2, "[data-choice=trust]").click();
seen.undone = save.disabled;
seen.options = Array.from(form.cluster.options, (o) => o.textContent);
button(2, "[data-look]").click();
seen.looked = [ids(), form.cluster.value, form.verdict.value];
seen.ran = document.title === "attacked" || window.attacked === 1;
document.body.replaceChildren(JSON.stringify(seen));
"""


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_clusters_and_examples_are_decided_in_a_browser(tmp_path):
    """Clicks make a file of whole ids, without a dialog or a request."""
    evil = "<img src=x onerror='window.attacked=1'>\u202e evil"
    path = clustered_audit(evil).to_html(tmp_path / "audit.html", max_rows=8)
    seen = read_in_chromium(path, DECIDER)
    assert seen["scripted"] == seen["plain"]
    assert seen["hidden"] == [False] * 3
    # Those of rows of the script, and none of kept ones for contrast.
    assert seen["rows"] == [False] * 7
    assert seen["tab"] == [["BUTTON", 0]] * 3
    assert seen["before"] == [True, "nothing decided"]
    assert seen["pressed"] == ["false", "true"]
    assert seen["after"] == [
        False,
        "2 clusters decided: 3 to trust, 4 to drop",
    ]
    same = [f"same/{i}" for i in range(4)]
    varied = [f"varied/{i}" for i in range(3)]
    choices = {"1": "drop", "2": "trust"}
    first, second, third = seen["files"]
    assert first == [
        {"trust": varied, "drop": same, "clusters": choices},
        "application/json",
    ]
    assert seen["inherited"] == ["false", "true"]
    marks = [["true", "false"], ["false", "false"], ["false", "true"]]
    assert seen["own"] == seen["kept"] == marks
    said = "2 clusters and 3 examples decided: 3 to trust, 4 to drop"
    assert seen["both"] == said
    assert second[0] == {
        "trust": [*varied[1:], "same/1"],
        "drop": [same[0], *same[2:], "k1"],
        "clusters": choices,
    }
    assert third[0] == {
        "trust": varied,
        "drop": [],
        "clusters": {"2": "trust"},
    }
    assert seen["link"] == ["decisions.json", True]
    assert seen["undone"] is True
    assert seen["options"][0] == "all"
    assert seen["options"][1].startswith("1: same words: <img src=x")
    assert seen["options"][2] == "2: nothing shared"
    assert seen["looked"] == [varied, "2", "held out"]
    assert seen["requests"] == 0 and not seen["ran"]
