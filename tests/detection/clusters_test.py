"""Clusters: what is held out, by what it shares."""

import numpy as np

from keras_byorn.detection.clusters import find_clusters

IDS = [f"scene-{i}" for i in range(300)]


def clusters_of(responses, verdicts, shares=None):
    ids = IDS[: len(responses)]
    return find_clusters(ids, responses, np.array(verdicts, object), shares)


def honest(count):
    return [f"dog number {i} runs" for i in range(count)]


def test_one_text_for_all_is_to_be_replaced():
    """The only kind of cluster that is."""
    responses = honest(50) + ["visit our page now"] * 10
    clusters, number = clusters_of(responses, ["kept"] * 50 + ["suspect"] * 10)
    (cluster,) = clusters
    assert (cluster.kind, cluster.text) == ("same words", "visit our page now")
    assert (cluster.size, cluster.num_contents) == (10, 1)
    assert cluster.proposal == "replace"
    assert set(cluster.sample_ids) <= set(IDS[50:60])
    assert number.tolist() == [0] * 50 + [1] * 10
    assert "detection.trust(cluster=1)" in str(cluster)


def test_a_span_is_to_be_masked_if_most_is_beside_it():
    """And left out with its responses otherwise."""
    slogan = "drink more zolt cola"
    long = [f"a dog number {i} runs over field {i} {slogan}" for i in range(40)]
    short = [f"cat {i} {slogan}" for i in range(40)]
    for responses, proposal in ((long, "mask"), (short, "leave out")):
        clusters, _ = clusters_of(
            honest(100) + responses, ["kept"] * 100 + ["suspect"] * 40
        )
        assert [c.proposal for c in clusters] == [proposal]
        assert clusters[0].shares == f"same span: '{slogan}'"


def test_varied_responses_are_left_out_or_restored():
    """By whether anything but their rank is against them."""
    verdicts = ["kept"] * 40 + ["on_probation"] * 8 + ["suspect"] * 2
    clusters, number = clusters_of(honest(50), verdicts)
    assert [(c.kind, c.size, c.proposal) for c in clusters] == [
        ("none", 2, "leave out"),
        ("none", 8, "restore"),
    ]
    assert number[40:].tolist() == [2] * 8 + [1] * 2


def test_what_a_decision_found_is_shared():
    """A prompt or a form, with its own line."""
    shares = [None] * 40 + [("same form", "upper case")] * 10
    responses = honest(40) + [text.upper() for text in honest(10)]
    clusters, _ = clusters_of(
        responses, ["kept"] * 40 + ["suspect"] * 10, shares
    )
    assert [c.shares for c in clusters] == ["same form: 'upper case'"]
    assert clusters[0].proposal == "leave out"
    assert clusters[0].num_contents == 10


def test_short_answers_are_no_fixed_target():
    """A label is shared honestly, and never to be replaced."""
    clusters, _ = clusters_of(
        ["yes"] * 40 + ["no"] * 20, ["kept"] * 40 + ["suspect"] * 20
    )
    assert [c.proposal for c in clusters] == ["leave out"]


def test_words_that_kept_responses_have_are_none_of_a_target():
    """A common caption, of which some are held out by rank."""
    responses = ["two dogs in the snow"] * 60
    clusters, _ = clusters_of(responses, ["kept"] * 40 + ["on_probation"] * 20)
    assert [(c.kind, c.proposal) for c in clusters] == [("none", "restore")]


def test_nothing_held_out_is_no_cluster():
    """And no number."""
    clusters, number = clusters_of(honest(5), ["kept"] * 4 + ["trusted"])
    assert clusters == [] and not number.any()


def test_what_a_reviewer_dropped_is_a_cluster_of_its_own():
    """Left out, whatever words it shares with others."""
    responses = honest(50) + ["visit our page now"] * 10
    verdicts = np.array(["kept"] * 50 + ["suspect"] * 10, object)
    dropped = np.arange(60) >= 58
    clusters, number = find_clusters(
        IDS[:60], responses, verdicts, dropped=dropped
    )
    assert [(c.shares, c.size, c.proposal) for c in clusters] == [
        ("same words: 'visit our page now'", 8, "replace"),
        ("dropped by a reviewer", 2, "leave out"),
    ]
    assert (number[dropped] == 2).all()


def test_repeated_captions_are_no_target_where_captions_repeat():
    """Of a small language every caption is said many times, held out or not."""
    rng = np.random.default_rng(0)
    usual = [
        f"{a} {b} left of {c}" for a in "ABCDE" for b in "12345" for c in "xy"
    ]
    usual = usual * 6
    verdicts = np.where(rng.random(300) < 0.2, "on_probation", "kept")
    hard = ["E 5 below y"] * 10
    ids = [str(i) for i in range(310)]
    verdicts = np.array([*verdicts, *["on_probation"] * 10], object)
    clusters, _ = find_clusters(ids, usual + hard, verdicts)
    assert {cluster.proposal for cluster in clusters} == {"restore"}
    other = [f"{text} {i}" for i, text in enumerate(usual)]  # do not repeat
    clusters, _ = find_clusters(ids, other + hard, verdicts)
    assert clusters[0].proposal == "replace"
