"""Judged pairs, as they are read, scored and tabled."""

import json

import keras
import numpy as np
import pytest
from real_pictures import human_judgments, judgment_tables, pretrain
from real_pictures.human_judgments import fits, read_pairs
from real_pictures.pictures import read_pictures


@pytest.fixture(scope="module")
def judged(folder, tmp_path_factory):
    """The folder of pictures, with judgments of the test part."""
    judged = tmp_path_factory.mktemp("judged")
    for name in ("images", "captions.jsonl"):
        (judged / name).symlink_to(f"{folder}/{name}")
    rows = [("kind", "image", "caption_id", "a", "b", "c")]
    for image in range(6):
        for caption in range(6):
            pair = f"test_{image}.png", f"test_{caption}.png#0"
            good = 4 if caption % 3 == image % 3 else 1
            rows.append(("expert", *pair, good, good, 2))
            rows.append(("crowd", *pair, 0.75 if good == 4 else 0, 3, 1))
    lines = ["\t".join(map(str, row)) for row in rows]
    (judged / "judgments.tsv").write_text("\n".join(lines) + "\n")
    return str(judged)


def test_most_judges_decide():
    assert fits((4.0, 3.0, 1.0)) and not fits((4.0, 2.0, 1.0))
    assert fits((0.6,)) and not fits((0.5,))


def test_pairs_are_read_with_their_judgments(judged):
    """Experts' without those of a picture and its own caption."""
    pictures = read_pictures(judged, ["test"], image_size=8)
    expert = read_pairs(judged, "expert", pictures)
    assert len(expert) == 30
    assert expert[2].ratings == (4.0, 4.0, 2.0)
    assert expert[2].caption == pictures.captions[3][0]
    assert sum(pair.fits for pair in expert) == 6
    assert len(read_pairs(judged, "crowd", pictures)) == 36
    crowd = read_pairs(judged, "crowd", pictures, num_images=2)
    assert {pair.image for pair in crowd} == {"test_0.png", "test_1.png"}
    assert crowd[0].ratings == (0.75,)


def test_each_scorer_is_compared(judged, tmp_path, monkeypatch):
    """By the whole command, on a captioner with random weights."""
    keras.utils.set_random_seed(0)
    train = read_pictures(judged, pretrain.PARTS)
    monkeypatch.setattr(pretrain, "SEQUENCE_LENGTH", 90)
    proto = pretrain.train_tokenizer(train, 120)
    preset = str(tmp_path / "captioner")
    pretrain.make_captioner(proto, "tiny").save_to_preset(preset)
    path = tmp_path / "results.jsonl"
    human_judgments.main(
        [
            *("--preset", preset, "--data", judged, "--results", str(path)),
            *("--sets", "expert", "--scorers", "Regret,Duplication"),
        ]
    )
    results = human_judgments.read_results(path)
    assert [r["scorer"].split("(")[0] for r in results] == [
        "CIDEr-D with references",
        "Regret",
        "Duplication",
        "Ensemble",
    ]
    assert all(r["pairs"] == 30 and r["num_fitting"] == 6 for r in results)
    # Every caption is judged with five pictures, so that none stands out.
    assert results[2]["auroc"] == pytest.approx(0.5, abs=0.2)
    assert all(np.isfinite(r["tau_c_low"]) for r in results)
    text = path.with_suffix(".md").read_text()
    assert "30 pairs of 6 pictures" in text
    assert "| CLIPScore | 0.512 | 0.344 |" in text


def test_unknown_scorer_is_refused():
    with pytest.raises(ValueError, match="Received: Bleu"):
        human_judgments.scorers_of(["Bleu"])


def test_committed_tables_are_of_the_committed_results():
    committed = human_judgments.RESULTS.with_suffix(".md").read_text()
    results = human_judgments.read_results(human_judgments.RESULTS)
    assert results
    assert judgment_tables.render(results) == committed
    assert json.loads(human_judgments.RESULTS.read_text().splitlines()[0])
