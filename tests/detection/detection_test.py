"""A detection: checked, saved whole, and accounted for without training."""

import copy
import json
import types
import warnings

import keras
import numpy as np
import pytest

from keras_byorn.data.examples import Examples
from keras_byorn.data.views import Paraphrase
from keras_byorn.detection import detection_files
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detection import Detection
from keras_byorn.detection.detection_checks import check_examples
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import (
    Ensemble,
    MeanLogLikelihood,
    PointwiseMutualInformation,
    Regret,
    WorstSpan,
)
from keras_byorn.detection.token_scores import TokenScores

COUNT, LENGTH = 20, 8
FILES = ("detection.parquet", "detection.json")


def make_rows():
    """Examples, the last five of which are in other words than the rest."""
    responses = [f"a {i} red three" for i in range(15)]
    responses += [f"visit <b>evil</b> № {i}" for i in range(5)]
    return [
        {
            "example_id": f"scene-{index}",
            "images": np.full((4, 4, 3), index, "uint8"),
            "prompts": "describe the image\n",
            "responses": response,
        }
        for index, response in enumerate(responses)
    ]


def make_token_scores(maxima=True):
    """Responses of different lengths, at different places of their rows."""
    rng = np.random.default_rng(0)
    mask = np.zeros((COUNT, LENGTH), bool)
    for index, row in enumerate(mask):
        start = index % 3
        row[start : start + 2 + index % 4] = True
    level = np.where(np.arange(COUNT) < 15, 0.5, 6.0)[:, None]
    values = np.where(mask, -level * rng.uniform(0.5, 1.5, mask.shape), 0.0)
    return TokenScores(values, values / 4 if maxima else None, mask)


def make(scorer=None, maxima=True, with_tokens=True):
    """Detects without a model, in the examples of `make_rows`."""
    rows = make_rows()
    detector = Detector(scorer, FlagFraction(0.25), verbose=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*examples tell little")
        detection = detector.decide(
            make_token_scores(maxima),
            [row["prompts"] for row in rows],
            [row["responses"] for row in rows],
            [row["example_id"] for row in rows],
        )
    if not with_tokens:
        return detection
    mask = detection.token_scores.response_mask
    lengths = mask.sum(axis=-1)
    return detection.with_examples(
        types.SimpleNamespace(
            examples=Examples(rows),
            digests=[f"digest of {row['example_id']}" for row in rows],
            response_mask=mask,
            response_pieces=lambda i: [f"▁piece{n}" for n in range(lengths[i])],
        )
    )


@pytest.fixture(scope="module")
def detection():
    return make()


def assert_equal(own, other):
    """Compares all attributes, those of rows by row."""
    for name in (
        "example_ids",
        "prompts",
        "responses",
        "reasons",
        "groups",
        "digests",
    ):
        assert getattr(own, name) == getattr(other, name), name
    for name in ("plausibility", "suspect_probability", "cuts", "verdicts"):
        left, right = getattr(own, name), getattr(other, name)
        assert left.dtype == right.dtype, name
        np.testing.assert_array_equal(left, right, err_msg=name)
    assert list(own.scores) == list(other.scores)
    for name, values in own.scores.items():
        np.testing.assert_array_equal(values, other.scores[name])
    for name in ("reason", "settings", "allows_review"):
        assert getattr(own, name) == getattr(other, name), name
    assert repr(own.scorer) == repr(other.scorer)
    for index in range(len(own)):
        assert own.tokens(index) == other.tokens(index)
        for left, right in zip(own.scores_of(index), other.scores_of(index)):
            assert (left is None) == (right is None)
            if left is not None:
                np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    "scorer, maxima, with_tokens",
    [
        (None, True, True),
        (WorstSpan(2), True, False),
        (MeanLogLikelihood(), False, True),
    ],
)
def test_a_saved_detection_comes_back(scorer, maxima, with_tokens, tmp_path):
    """With every attribute, the pieces of tokens and the fitted scorer."""
    detection = make(scorer, maxima, with_tokens)
    folder = tmp_path / "new" / "detection"
    assert detection.save(folder) == str(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    loaded = Detection.load(folder)
    assert_equal(detection, loaded)
    assert repr(loaded) == repr(detection)
    scores = TokenScores(
        np.array([[-1.0, -3.0]], "float32"),
        np.array([[-0.5, -0.5]], "float32"),
        np.ones((1, 2), bool),
    )
    np.testing.assert_array_equal(  # an ensemble is fitted
        keras.ops.convert_to_numpy(loaded.scorer(scores)),
        keras.ops.convert_to_numpy(detection.scorer(scores)),
    )
    loaded.save(folder)  # in the place of the older one
    assert_equal(detection, Detection.load(folder))


def test_unusual_numbers_and_texts_come_back(detection, tmp_path):
    """No cut, a cut that flags nothing, and characters of all kinds."""
    changed = make()
    changed.cuts = np.array([np.nan, -np.inf, *[-1.0] * 18], "float32")
    changed.responses[0] = 'a\n"b"\t\u200b ☃ 😀 \x00'
    changed.verdicts[:4] = ["trusted", "on_probation", "kept", "suspect"]
    changed.settings["alpha"] = 0.1
    changed.save(tmp_path)
    assert_equal(changed, Detection.load(tmp_path))


@pytest.mark.parametrize("name", FILES)
def test_no_damaged_byte_is_read(name, detection, tmp_path):
    """Forty changed bytes in random places, one at a time."""
    detection.save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content), size=40):
        damaged = bytearray(content)
        damaged[place] ^= rng.integers(1, 256)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"damaged.*{tmp_path}"):
            Detection.load(tmp_path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="damaged"):
        Detection.load(tmp_path)
    path.write_bytes(content)
    Detection.load(tmp_path)


def test_white_space_is_not_read_either(detection, tmp_path):
    """A line break of another kind is a changed byte, too."""
    detection.save(tmp_path)
    path = tmp_path / "detection.json"
    content = path.read_bytes()
    for changed in (
        content.replace(b"\n", b"\r", 1),
        content.replace(b"\n ", b"\n\t", 1),
        content + b"\n",
        b"[]",
        b'"text"',
    ):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="damaged"):
            Detection.load(tmp_path)


def test_files_of_two_detections_do_not_fit(tmp_path):
    """A run that was stopped between two files leaves such a pair."""
    make().save(tmp_path)
    older = (tmp_path / "detection.json").read_bytes()
    make(WorstSpan(2)).save(tmp_path)
    (tmp_path / "detection.json").write_bytes(older)
    with pytest.raises(ValueError, match="damaged.*detect again"):
        Detection.load(tmp_path)
    (tmp_path / "detection.json").unlink()
    with pytest.raises(FileNotFoundError):
        Detection.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        Detection.load(tmp_path / "nowhere")


def sealed(folder, **changes):
    """Changes a manifest, and gives it a checksum that is right."""
    path = folder / "detection.json"
    manifest = {**json.loads(path.read_bytes()), **changes}
    del manifest["checksum"]
    content = (folder / "detection.parquet").read_bytes()
    manifest["checksum"] = detection_files._checksum(manifest, content)
    path.write_bytes(json.dumps(manifest, indent=1).encode())


def test_another_format_is_refused(detection, tmp_path):
    """With a remedy; a later version may write other columns."""
    detection.save(tmp_path)
    sealed(tmp_path, format=99)
    with pytest.raises(ValueError, match="format 3. Detect again.*format 99"):
        Detection.load(tmp_path)


@pytest.mark.parametrize(
    "config, name",
    [
        (
            {"module": "os", "class_name": "system", "config": {}},
            "system",
        ),
        (
            {
                "module": "x",
                "class_name": "X",
                "config": {},
                "registered_name": "x>X",
            },
            "x>X",
        ),
        (
            {
                "module": "builtins",
                "class_name": "function",
                "config": "eval",
                "registered_name": "keras_byorn>Regret",
            },
            "eval",
        ),
    ],
)
def test_no_class_is_imported_from_a_file(config, name, detection, tmp_path):
    """Only classes and functions that are registered are made, at any depth."""
    detection.save(tmp_path)
    scorer = keras.saving.serialize_keras_object(Ensemble([Regret()]))
    scorer["config"]["scorers"] = [config]
    detector = keras.saving.serialize_keras_object(detection.detector)
    detector["config"]["scorer"] = scorer
    sealed(tmp_path, detector=detector)
    with pytest.raises(ValueError, match=f"registered.*Received: '{name}'"):
        Detection.load(tmp_path)


@keras.saving.register_keras_serializable(package="detection_test")
def politely(prompt):
    return f"please {prompt}"


def test_a_registered_function_is_read(detection, tmp_path):
    """A view may have one."""
    detection.save(tmp_path)
    scorer = PointwiseMutualInformation(Paraphrase(politely))
    detector = keras.saving.serialize_keras_object(Detector(scorer=scorer))
    sealed(tmp_path, detector=detector)
    assert repr(Detection.load(tmp_path).scorer) == repr(scorer)


def remade(detection, **changes):
    """Makes the detection anew, with other arguments."""
    names = Detection.__init__.__code__.co_varnames[1:16]
    arguments = {name: getattr(detection, name) for name in names}
    return Detection(**{**arguments, **changes})


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"verdicts": ["kept"] * 19 + ["poisoned"]},
            r"`verdicts`.*on_probation.*\['poisoned'\]",
        ),
        ({"verdicts": ["kept"] * 19 + [None]}, "`verdicts`.*'None'"),
        (
            {"suspect_probability": [0.0] * 19 + [1.5]},
            r"`suspect_probability`.*\[0, 1\].*1.5",
        ),
        ({"suspect_probability": [0.0] * 19 + [-0.1]}, r"\[0, 1\].*-0.1"),
        ({"suspect_probability": [np.nan] * 20}, r"\[0, 1\].*nan"),
        ({"suspect_probability": [0.0] * 19}, "one value for each.*: 19"),
        ({"cuts": [0.0] * 21}, "one value for each example.*'cuts': 21"),
        ({"prompts": ["p"]}, "one value for each example.*'prompts': 1"),
    ],
)
def test_values_that_make_no_sense_are_refused(detection, changes, message):
    """A person may edit verdicts, and make a detection of them."""
    with pytest.raises(ValueError, match=message):
        remade(detection, **changes)


def test_suspects_and_probation_are_held_out(detection):
    """The verdict is the detector's; whoever edits one edits both."""
    assert detection.suspects.tolist() == [False] * 15 + [True] * 5
    verdicts = ["kept", "on_probation", "suspect", "trusted"] * 5
    other = remade(detection, verdicts=verdicts)
    assert other.suspects.tolist() == [False, False, True, False] * 5
    assert other.held_out.tolist() == [False, True, True, False] * 5
    assert other.trusted_ids == other.example_ids[3::4]


class PreparedRows:
    """As much of prepared examples as a detection looks at."""

    def __init__(self, rows):
        self.example_ids = [row["example_id"] for row in rows]
        self.prompts = tuple(row["prompts"] for row in rows)
        self.responses = tuple(row["responses"] for row in rows)
        self.digests = [f"digest of {i}" for i in self.example_ids]

    def __len__(self):
        return len(self.example_ids)


def test_other_examples_are_refused(detection):
    """Verdicts of yesterday's data must not meet today's."""
    rows = make_rows()
    check_examples(detection, PreparedRows(rows))
    for others in (rows[::-1], rows[:-1]):
        with pytest.raises(
            ValueError, match="20 examples for (20|19) examples"
        ):
            check_examples(detection, PreparedRows(others))
    for field in ("prompts", "responses"):
        rows = make_rows()
        rows[7][field] += " "
        with pytest.raises(ValueError, match="1 changed.*'scene-7'"):
            check_examples(detection, PreparedRows(rows))


def test_other_images_are_refused(detection):
    """Verdicts on one picture must not stand for another."""
    rows = make_rows()
    detection = copy.copy(detection)
    detection.digests = PreparedRows(rows).digests
    check_examples(detection, PreparedRows(rows))
    others = PreparedRows(rows)
    others.digests[7] = "of another picture"
    with pytest.raises(ValueError, match="images.*1 changed.*'scene-7'"):
        check_examples(detection, others)


def test_an_audit_needs_no_training(detection):
    """It has no replacements; suspects are just left out of the clean data."""
    audit = detection.audit()
    rows = audit.table.to_pylist()
    assert [row["example_id"] for row in rows] == detection.example_ids
    assert [row["is_suspect"] for row in rows] == list(detection.suspects)
    assert [row["is_held_out"] for row in rows] == list(detection.held_out)
    assert [row["verdict"] for row in rows] == list(detection.verdicts)
    assert rows[0]["current_response"] == rows[0]["original_response"]
    assert (rows[19]["current_response"], rows[19]["replacement"]) == (
        None,
        None,
    )
    assert rows[19]["reason"].startswith("less plausible than the cut")
    assert rows[19]["tokens"] == detection.tokens(19)
    assert set(dict(rows[19]["scores"])) == set(detection.scores)
    assert [tuple(row["evidence"]) for row in rows] == detection.evidence
    assert [row["cluster"] or 0 for row in rows] == list(detection.cluster)
    assert rows[19]["evidence"] == ["likelihood"] and rows[19]["cluster"] == 1
    assert audit.clusters == detection.clusters and len(audit.clusters) > 0
    assert audit.notes["scorer"] == repr(detection.scorer)
    assert audit.notes["reason"] == detection.reason
    clean = audit.clean_examples()
    assert clean.example_ids == detection.example_ids[:15]


def test_a_loaded_detection_shows_the_images_that_it_is_given(
    detection, tmp_path
):
    """They are not in its files."""
    detection.save(tmp_path)
    loaded = Detection.load(tmp_path)
    with pytest.raises(ValueError, match=r"`examples`.*audit\(examples\)"):
        loaded.audit()
    expected = str(detection.audit().table.to_pylist())
    assert str(loaded.audit(make_rows()).table.to_pylist()) == expected
    loaded = Detection.load(tmp_path, make_rows())
    assert str(loaded.audit().table.to_pylist()) == expected
    message = "every example that was judged.*19 examples, without 1.*scene-0"
    with pytest.raises(ValueError, match=message):
        Detection.load(tmp_path, make_rows()[1:])
    with pytest.raises(ValueError, match=message):
        Detection.load(tmp_path).audit(make_rows()[1:])


def test_without_a_model_no_pieces_are_known():
    """An audit without them is made all the same."""
    detection = make(with_tokens=False)
    assert detection.tokens(0) is None
    audit = detection.audit(make_rows())
    assert audit.table.to_pylist()[0]["tokens"] is None


def test_repr_and_length_tell_the_verdict(detection):
    """A notebook shows the audit, where there are images."""
    assert len(detection) == COUNT
    assert repr(detection) == (
        "<Detection: 5 of 20 (25.0 %) suspect: the least plausible 25%>"
    )
    assert "<table>" in detection._repr_html_()
    assert make(with_tokens=False)._repr_html_() is None


def test_a_dropped_example_is_a_suspect_for_good(tmp_path):
    """After later trust of others, and in a file; its own trust frees it."""
    detection = make().drop(["scene-0", "scene-1"]).trust(ids=["scene-19"])
    for found in (detection, Detection.load(detection.save(tmp_path))):
        assert np.flatnonzero(found.dropped).tolist() == [0, 1]
        assert set(found.verdicts[:2]) == {"suspect"}
        assert found.reasons[0] == "dropped by a reviewer"
        assert (found.suspect_probability[:2] == 1).all()
        assert found.proposals[0] == "leave out"
    detection.trust(ids=["scene-0"]).drop(["scene-19"])
    assert np.flatnonzero(detection.dropped).tolist() == [1, 19]
    assert detection.trusted_ids == ["scene-0"]
    with pytest.raises(ValueError, match="unknown ids.*scene-99"):
        detection.drop(["scene-99"])
