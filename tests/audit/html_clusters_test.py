"""Tests of clusters in the page."""

import re

import pytest
from audit_support import (
    Page,
    clustered_audit,
    make_audit,
    make_cluster,
    make_row,
    suspect,
)

from keras_byorn.audit.html_clusters import MAX_CLUSTERS
from keras_byorn.detection.clusters import PROPOSALS, Cluster, find_clusters


def words(page):
    return " ".join(page.text.split())


def test_a_page_shows_clusters_first(tmp_path):
    """A person judges two clusters sooner than a thousand rows."""
    page = Page(clustered_audit().to_html(tmp_path / "audit.html"))
    text = words(page)
    assert text.index("Cluster 1") < text.index("Scores")
    for fact in (
        "Cluster 1 shares same words buy it 4 examples 1 content "
        "proposed: replaceall say one thing",
        "Cluster 2 shares nothing 3 examples 3 contents proposed: restore",
        "odd caption 2varied/2",
        "evidence: likelihood, same words",
        "cluster 2",
    ):
        assert fact in text
    assert page.data[0]["clusters"] == [
        {
            "number": 1,
            "label": "same words: buy it",
            "ids": [f"same/{i}" for i in range(4)],
        },
        {
            "number": 2,
            "label": "nothing shared",
            "ids": [f"varied/{i}" for i in range(3)],
        },
    ]
    rows = {row["id"]: row for row in page.rows}
    assert rows["same/3"]["cluster"] == 1 and rows["k1"]["cluster"] is None
    assert rows["same/3"]["evidence"] == "likelihood, same words"
    assert rows["varied/0"]["evidence"] is None


def test_suspects_come_before_what_is_on_probation(tmp_path):
    """Evidence may speak against a response that is plausible."""
    rows = [
        make_row("w", -9.0, verdict="on_probation", suspect_probability=1.0),
        suspect("fluent", -0.1),
        suspect("odd", -8.0),
    ]
    page = Page(make_audit(rows).to_html(tmp_path / "audit.html"))
    assert page.shown_ids == ["odd", "fluent", "w"]


def test_all_members_can_be_exported_from_a_short_page(tmp_path):
    """Rows are left out of a page, the ids of a cluster are not."""
    path = clustered_audit().to_html(tmp_path / "audit.html", max_rows=1)
    page = Page(path)
    assert len(page.rows) == 1 and page.rows[0]["key"] is None
    assert [len(c["ids"]) for c in page.data[0]["clusters"]] == [4, 3]


@pytest.mark.parametrize("most, num_pictures", [(0, 0), (4, 4), (None, 6)])
def test_pictures_of_clusters_are_within_the_images(
    tmp_path, most, num_pictures
):
    """Three of a cluster at most; the first clusters come first."""
    audit = clustered_audit()
    page = Page(audit.to_html(tmp_path / "audit.html", max_images=most))
    # Seven rows and two kept ones have theirs without the script as well.
    assert len(page.shown_ids) == num_pictures + 7 + 2
    assert (
        page.shown_ids[:num_pictures]
        == [
            "same/0",
            "same/1",
            "same/2",
            "varied/0",
            "varied/1",
            "varied/2",
        ][:num_pictures]
    )


def test_restored_members_are_not_decided(tmp_path):
    """A review has put back two of them, and all of another cluster."""
    rows = [make_row(f"r{i}", verdict="restored") for i in range(3)]
    rows += [suspect("s", -5.0)]
    audit = make_audit(
        rows,
        cluster=[1, 1, 2, 1],
        clusters=[
            make_cluster(1, "same prompt", "why", [*rows[:2], rows[3]]),
            make_cluster(2, "same form", "long", rows[2:3]),
        ],
    )
    page = Page(audit.to_html(tmp_path / "audit.html"))
    assert "3 examples, 1 still held out" in words(page)
    assert "1 example, 0 still held out" in words(page)
    ids = [cluster["ids"] for cluster in page.data[0]["clusters"]]
    assert ids == [["s"], []]
    decided = [
        d["data-cluster"]
        for d in page.tags["div"]
        if "hidden" in d and "data-cluster" in d
    ]
    assert decided == ["1"]


def test_too_many_clusters_are_said_to_be(tmp_path):
    """A page of thousands of them would be none."""
    rows = [suspect(f"{i}", -5.0) for i in range(MAX_CLUSTERS + 30)]
    clusters = [make_cluster(n, "x", "y", [r]) for n, r in enumerate(rows, 1)]
    audit = make_audit(rows, clusters=clusters, cluster=range(1, len(rows) + 1))
    page = Page(audit.to_html(tmp_path / "audit.html", max_images=0))
    assert "30 more clusters are left out of this page" in words(page)
    assert len(page.data[0]["clusters"]) == MAX_CLUSTERS


ATTACK = "</script><script>alert(1)</script>\u202e<img src=x onerror=a()>\u200b"


def test_clusters_of_an_attacker_stay_text(tmp_path):
    """What is shared, samples, ids, kinds and proposals are all of the data."""

    def page_of(text, name):
        row = suspect(f"id {text}", -5.0, original_response=f"{text} open it")
        cluster = make_cluster(1, text, text, [row], text)
        audit = make_audit(
            [row], clusters=[cluster], cluster=[1], evidence=[(text,)]
        )
        shown = audit._repr_html_()
        assert text == "plain" or "<script" not in shown
        assert text == "plain" or "<img" not in shown
        return audit.to_html(tmp_path / name), shown

    path, shown = page_of(ATTACK, "attacked.html")
    page = Page(path)
    wanted = Page(page_of("plain", "harmless.html")[0])
    counts = [
        {tag: len(all_) for tag, all_ in p.tags.items() if tag != "span"}
        for p in (page, wanted)
    ]
    assert counts[0] == counts[1]
    assert page.texts["script"] == wanted.texts["script"]
    raw = path.read_text(encoding="utf-8")
    assert not {"\u202e", "\u200b"} & set(
        re.sub(r'application/json"[^>]*>.*?</script>', "", raw, flags=re.S)
    )
    for block in re.findall(r'application/json"[^>]*>(.*?)</script>', raw):
        assert not set("<>&") & set(block)
    assert "U+202E" in shown and "\u202e" not in shown
    # The very id, for the file of decisions.
    assert page.data[0]["clusters"][0]["ids"] == [f"id {ATTACK}"]


def test_long_ids_are_cut_in_the_page_alone(tmp_path):
    """At 80 characters; the file of decisions has them whole."""
    long = "folder/" * 30
    row = suspect(long, -5.0)
    audit = make_audit(
        [row], clusters=[make_cluster(1, "none", "", [row])], cluster=[1]
    )
    page = Page(audit.to_html(tmp_path / "audit.html"))
    cut = [long[:80], " ", ["mark", "and 130 more characters"]]
    assert page.rows[0]["id"] == cut
    assert page.rows[0]["key"] == long
    assert long not in page.text
    assert page.data[0]["clusters"][0]["ids"] == [long]


def test_the_page_takes_clusters_of_a_detection(tmp_path):
    """The attributes are those that a detection's clusters have."""
    responses = ["buy it at evil dot com now"] * 6 + ["a dog", "a cat"]
    rows = [
        suspect(f"{i}", -5.0, original_response=r)
        for i, r in enumerate(responses)
    ]
    clusters, cluster = find_clusters(
        [row.example_id for row in rows], responses, ["suspect"] * 8
    )
    assert all(isinstance(c, Cluster) for c in clusters)
    audit = make_audit(rows, clusters=clusters, cluster=cluster)
    page = Page(audit.to_html(tmp_path / "audit.html"))
    assert len(page.data[0]["clusters"][0]["ids"]) == 6
    assert "shares same words buy it at evil dot com now" in words(page)
    meanings = words(
        Page(
            make_audit(
                rows,
                clusters=[
                    make_cluster(n, "x", "y", rows[n : n + 1], proposal)
                    for n, proposal in enumerate(PROPOSALS, 1)
                ],
                cluster=range(8),
            ).to_html(tmp_path / "proposals.html")
        )
    )
    for meaning in (
        "writes new responses",
        "left out of the loss",
        "never overwritten",
        "a student judges again",
    ):
        assert meaning in meanings
