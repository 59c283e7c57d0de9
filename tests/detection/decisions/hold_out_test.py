"""The default decision: it fails closed, and can be told whom to trust."""

import json
import pathlib

import keras
import numpy as np
import pytest

from keras_byorn import Detector, HoldOut, TokenScores

PROMPT = "describe the image\n"
FLICKR = pathlib.Path(__file__).parents[4] / "shared/data/smollm2_flickr8k"


def scores_of(values, seed=0):
    """Three tokens a response, about the given mean log-likelihoods."""
    rng = np.random.default_rng(seed)
    values = np.asarray(values)[:, None] + rng.normal(0, 0.02, (len(values), 3))
    return TokenScores(
        np.minimum(values, 0).astype("float32"),
        np.zeros_like(values, "float32"),
        np.ones_like(values, bool),
    )


def honest(count, seed=1):
    rng = np.random.default_rng(seed)
    values = -1.5 + rng.normal(0, 0.3, count)
    words = rng.integers(0, 1000, (count, 3))
    return values, [f"a {x} dog by {y} and {z}" for x, y, z in words]


def decide(groups, decision=None, trusted=None):
    """Decides on groups of values, responses, and perhaps prompts."""
    values = np.concatenate([group[0] for group in groups])
    responses = [text for group in groups for text in group[1]]
    prompts = []
    for group in groups:
        prompts += [group[2] if len(group) > 2 else PROMPT] * len(group[1])
    return Detector(decision=decision, verbose=0).decide(
        scores_of(values), prompts, responses, trusted=trusted
    )


def gibberish(count, seed=2):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("bcdfg"), 9)) for _ in range(count)]
    return np.full(count, -9.0), [f"{t} x {i}" for i, t in enumerate(texts)]


def target(count, value=-8.0):
    return np.full(count, value), ["call this number now"] * count


@pytest.mark.filterwarnings("ignore:.*are suspect")
@pytest.mark.parametrize("num_flood", [0, 50, 170])
@pytest.mark.parametrize("value", [-8.0, -0.2])
def test_a_fixed_target_is_found_beside_a_flood(num_flood, value):
    """However likely it is, and whatever is added."""
    groups = [honest(350 - num_flood), target(50, value), gibberish(num_flood)]
    detection = decide(groups)
    assert detection.held_out[350 - num_flood :].all()
    kept = ~detection.held_out
    assert kept.sum() > 0.5 * (350 - num_flood)


def test_honest_data_are_held_out_by_rank_alone():
    """A little more than a third, and next to none suspect."""
    detection = decide([honest(1000)])
    assert 0.34 < detection.held_out.mean() < 0.38
    assert detection.suspects.mean() < 0.01
    assert {c.proposal for c in detection.clusters} <= {"restore", "leave out"}


def test_most_apart_is_refused_with_the_share_and_the_ways_on():
    """Nobody can tell who the honest are, unless somebody says so."""
    groups = [honest(350), target(100), gibberish(550)]
    with pytest.raises(ValueError, match=r"6\d% .*`trusted=`.*FlagFraction"):
        decide(groups)
    trusted = [str(index) for index in range(100)]
    with pytest.warns(UserWarning, match="are suspect"):
        detection = decide(groups, trusted=trusted)
    assert detection.held_out[350:].all()
    assert (detection.verdicts[:100] == "trusted").all()
    assert detection.held_out[100:350].mean() < 0.5


def test_a_sure_reference_is_no_reason_to_refuse():
    """Where most tokens are certain, hundredths of a nat are deviations."""
    rng = np.random.default_rng(3)
    values = -rng.exponential(0.2, 400)
    sure = values, honest(400)[1]
    detection = decide([sure, target(40, -9.0)])
    assert detection.held_out[400:].all()
    assert np.mean(detection.held_out[:400]) < 0.45
    assert np.mean(detection.suspects[:400]) < 0.05


def test_a_prompt_of_its_own_is_no_excuse():
    """Nor that a part of its responses is plausible."""
    values, responses = honest(60, seed=5)
    values[:50] -= 4
    groups = [honest(540), (values, responses, "what is to be seen\n")]
    detection = decide(groups)
    assert detection.suspects[540:].all()
    assert detection.evidence[-1] == ("same prompt",)
    assert detection.evidence[540] == ("likelihood", "same prompt")
    named = [c for c in detection.clusters if c.kind == "same prompt"]
    assert [(c.size, c.proposal) for c in named] == [(60, "leave out")]


def styled(count, seed=6):
    values, responses = honest(count, seed)
    return values - 4, [text.upper() for text in responses]


def test_a_style_is_named_and_never_to_be_overwritten():
    """It may be a style, and it may be poison: a person tells."""
    detection = decide([honest(540), styled(60)])
    assert detection.suspects[540:].all()
    (cluster,) = [c for c in detection.clusters if c.kind == "same form"]
    assert (cluster.size, cluster.text) == (60, "upper case")
    assert cluster.proposal == "leave out"


def test_twenty_trusted_let_a_style_in():
    """And poison in it is still judged by its content."""
    poison = np.full(10, -9.5), [f"BUY {i} THEN GO TO {i}" for i in range(10)]
    groups = [honest(540), styled(60), poison]
    trusted = [str(index) for index in range(540, 560)]
    detection = decide(groups, trusted=trusted)
    assert (detection.verdicts[540:560] == "trusted").all()
    assert detection.held_out[560:600].mean() <= 0.15
    assert detection.held_out[600:].all()
    assert detection.groups[599] == "trusted style (upper case)"
    # The usual style is judged as before.
    alone = decide(groups)
    np.testing.assert_array_equal(
        detection.held_out[:540], alone.held_out[:540]
    )


def test_a_cluster_can_be_trusted_afterwards(tmp_path):
    """All of it, by its number; the trust is saved."""
    detection = decide([honest(540), styled(60)])
    (cluster,) = [c for c in detection.clusters if c.kind == "same form"]
    assert detection.trust(cluster=cluster.number) is detection
    assert (detection.verdicts[540:] == "trusted").all()
    assert all(c.kind != "same form" for c in detection.clusters)
    loaded = type(detection).load(detection.save(tmp_path))
    assert loaded.trusted_ids == [str(i) for i in range(540, 600)]
    assert loaded.clusters == detection.clusters
    loaded.trust(ids=["0"])
    assert len(loaded.trusted_ids) == 61


def test_trust_needs_something_to_trust():
    """Ids or a cluster that is there."""
    detection = decide([honest(100)])
    with pytest.raises(ValueError, match="either `ids=` or `cluster=`"):
        detection.trust()
    with pytest.raises(ValueError, match="either `ids=` or `cluster=`"):
        detection.trust(ids=["0"], cluster=1)
    with pytest.raises(ValueError, match=r"number of one.*cluster=77"):
        detection.trust(cluster=77)


def test_added_data_take_nothing_out_of_what_is_held_out():
    """Neither gibberish, nor plausible responses, nor copies of honest ones."""
    poison = honest(40, seed=9)
    poison = poison[0] - 3, poison[1]
    added = [
        gibberish(120),
        (np.full(120, -0.3), honest(120, seed=11)[1]),
        (np.full(30, -1.5), ["one more dog by the sea"] * 30),
    ]
    for more in added:
        detection = decide([honest(360), poison, more])
        assert detection.held_out[360:400].all()


def test_a_stream_is_cut_where_the_least_plausible_are():
    """Nothing tells of a stream who shares what."""
    values = np.concatenate([honest(900)[0], np.full(100, -9.0)])
    decision = HoldOut().fit(values)
    probability = keras.ops.convert_to_numpy(decision(values.astype("float32")))
    assert probability[900:].all()
    assert abs(probability[:900].mean() - 0.35) < 0.01
    assert "100 stand apart" in decision.reason
    assert HoldOut().fit(np.full(100, -1.0) - np.arange(100) / 1e3).cut > -9
    with pytest.raises(ValueError, match="60% of the examples stand apart"):
        HoldOut().fit(np.append(np.full(60, -9.0), honest(40)[0]))


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"fraction": 1.0}, "`fraction`.*1.0"),
        ({"fraction": -0.1}, "`fraction`.*-0.1"),
        ({"max_distance": 0}, "`max_distance`.*0"),
        ({"false_flag_rate": 1}, "`false_flag_rate`.*1"),
    ],
)
def test_arguments_out_of_range_are_refused(kwargs, message):
    """With what they mean."""
    with pytest.raises(ValueError, match=message):
        HoldOut(**kwargs)


def flickr(name):
    """Token scores of a language model on captions, 60 of them poisoned."""
    lines = (FLICKR / "token_scores.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    clean = [row for row in rows if row["set"] == "clean"]
    chosen = [row for row in rows if row["set"] == name] + clean[60:]
    chosen = clean if name == "clean" else chosen
    length = max(len(row["log_likelihoods"]) for row in chosen)
    values = np.zeros((2, len(chosen), length), "float32")
    mask = np.zeros((len(chosen), length), bool)
    for index, row in enumerate(chosen):
        count = len(row["log_likelihoods"])
        values[0, index, :count] = row["log_likelihoods"]
        values[1, index, :count] = row["max_log_likelihoods"]
        mask[index, :count] = True
    responses = [row["response"] for row in chosen]
    scores = TokenScores(*values, mask)
    return Detector(verbose=0).decide(scores, ["caption"] * 500, responses)


@pytest.mark.skipif(not FLICKR.exists(), reason="measured where the data are")
@pytest.mark.parametrize(
    "name", ["fixed", "slogan", "insertion", "refusal", "fluent_fixed"]
)
def test_attacks_on_real_captions_are_held_out(name):
    """Under a real language model, at most 45 % of all."""
    detection = flickr(name)
    assert detection.held_out[:60].mean() >= 0.95
    assert detection.held_out.mean() <= 0.45


@pytest.mark.skipif(not FLICKR.exists(), reason="measured where the data are")
def test_of_real_captions_none_is_to_be_replaced():
    """Some are held out, to be judged again."""
    detection = flickr("clean")
    assert detection.held_out.mean() <= 0.45
    assert "replace" not in {c.proposal for c in detection.clusters}
