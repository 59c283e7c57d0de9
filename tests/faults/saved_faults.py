"""What was saved, and comes back damaged, changed, or of something else."""

import errno
import os
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import keras_byorn
from faults.case import kept, prepare, raises, rows, tiny, warns
from keras_byorn.data.checked_parquet import write_checked
from keras_byorn.data.files import replacing
from keras_byorn.data.image_embeddings import ImageEmbeddings
from keras_byorn.detection import detection_files
from keras_byorn.detection.detection import Detection
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.training import run_files, run_identity, target_files
from keras_byorn.training.target_store import TargetStore

SECTION = "What was saved"
STORE, DETECTION = "`TargetStore.load`", "`Detection.load`"
STATE = "`state_dir=`"
MEANING = "must hold values that have a meaning"


def flip(path):
    """Flips a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def saved_store(folder, **changes):
    """A store in a file, its first row changed, with a right checksum."""
    store = TargetStore(["a", "b"], ["p", "p"], ["red three", "blue one"])
    store.set_scores([-0.5, -7.0], [0.0, 1.0])
    store.replace("b", "red two", [5, 6])
    found = target_files.table_of(store.rows()).to_pylist()
    found[0] |= changes
    table = pa.Table.from_pylist(found, schema=target_files.schema())
    return pathlib.Path(write_checked(table, folder / "targets.parquet"))


for wrong, damage in (("a flipped bit", flip), ("a file that is cut off", cut)):

    @raises(SECTION, wrong, STORE, ValueError, "is damaged")
    def damaged_store(folder, damage=damage):
        damage(path := saved_store(folder))
        TargetStore.load(path)


@raises(SECTION, "a table of somebody else", STORE, ValueError, "another file")
def another_table(folder):
    pq.write_table(pa.table({"a": [1]}), folder / "t.parquet")
    TargetStore.load(folder / "t.parquet")


@raises(SECTION, "a pipe", STORE, ValueError, "not a regular file")
def piped_store(folder):
    os.mkfifo(folder / "t.parquet")
    TargetStore.load(folder / "t.parquet")


for wrong, changes in (
    ("an unknown verdict", {"verdict": "innocent"}),
    ("a probability of 1.5", {"suspect_probability": 1.5}),
    ("a probability that is NaN", {"suspect_probability": np.nan}),
    ("an infinite plausibility", {"plausibility": np.inf}),
    ("a negative revision", {"revision": -1}),
    ("a missing prompt", {"prompt": None}),
    ("a replacement without tokens", {"replacement": "red"}),
    ("a negative token", {"replacement": "x", "replacement_ids": [-2]}),
    ("a mask before the response", {"masked_tokens": [-1]}),
):

    @raises(SECTION, f"{wrong}, well checksummed", STORE, ValueError, MEANING)
    def meaningless(folder, changes=changes):
        TargetStore.load(saved_store(folder, **changes))


def with_store(change, **changed):
    """Puts a store of honest rows with rows of which one is changed."""
    prepared = prepare()
    store = TargetStore(
        prepared.example_ids,
        prepared.prompts,
        prepared.responses,
        prepared.digests,
    )
    store.set_scores(np.zeros(3), [0, 0, 1])
    change(store)
    keras_byorn.TargetBatches(rows(**changed), tiny(), store=store, verbose=0)


def unchanged(store):
    """Leaves a store as it is."""


WITH_STORE = "`TargetBatches(store=)`"
BLACK = np.zeros((32, 32, 3), "uint8")
for wrong, changed in (
    ("a response that has changed since", {"responses": "blue one"}),
    ("a prompt that has changed since", {"prompts": "say it\n"}),
    ("an image that has changed since", {"images": BLACK}),
):

    @raises(SECTION, wrong, WITH_STORE, ValueError, "1 changed examples")
    def changed_since(folder, changed=changed):
        with_store(unchanged, **changed)


@raises(SECTION, "other ids", WITH_STORE, ValueError, "in their order")
def other_ids(folder):
    with_store(unchanged, example_id="another")


FOREIGN = "must hold tokens of the task"


@raises(
    SECTION, "tokens beyond the vocabulary", WITH_STORE, ValueError, FOREIGN
)
def beyond_vocabulary(folder):
    with_store(lambda store: store.replace("scene-2", "red", [10**6]))


@raises(SECTION, "a mask beyond the response", WITH_STORE, ValueError, FOREIGN)
def beyond_response(folder):
    with_store(lambda store: store.mask("scene-2", [99], "red"))


def saved_detection(folder):
    """A detection in a folder, of six examples."""
    mask = np.ones((6, 2), bool)
    scores = TokenScores(-mask.astype("float32"), None, mask)
    detector = Detector(
        keras_byorn.MeanLogLikelihood(),
        keras_byorn.FlagFraction(0.2),
        verbose=0,
    )
    detection = detector.decide(scores, ["p"] * 6, ["r"] * 6)
    return pathlib.Path(detection.save(folder / "detection"))


for wrong, damage in (("a flipped bit", flip), ("a file that is cut off", cut)):
    for name in (detection_files.TABLE, detection_files.MANIFEST):

        @raises(SECTION, f"{wrong}, {name}", DETECTION, ValueError, "damaged")
        def damaged_detection(folder, damage=damage, name=name):
            damage(saved_detection(folder) / name)
            Detection.load(folder / "detection")


@raises(SECTION, "100,000 brackets", DETECTION, ValueError, "is damaged")
def deep_manifest(folder):
    path = saved_detection(folder) / detection_files.MANIFEST
    path.write_bytes(b"[" * 100_000)
    Detection.load(folder / "detection")


@raises(
    SECTION,
    "an example that has changed since",
    "`clean_examples()`",
    "RowError",
    "must be those that were judged",
)
def changed_clean(folder):
    detection = saved_detection(folder)
    examples = {
        "example_id": [str(i) for i in range(6)],
        "prompts": ["p"] * 6,
        "responses": ["r"] * 5 + ["another"],
    }
    detection = Detection.load(detection, examples)
    list(detection.audit().clean_examples())


def state(folder):
    """A manifest and arrays, as of a run."""
    entry = run_files.write_arrays(folder, "epoch", [("a", np.arange(5.0))])
    run_files.write_manifest(folder, {"format": 1, "epoch": entry})
    return entry


for wrong, damage in (("a flipped bit", flip), ("a file that is cut off", cut)):

    @raises(SECTION, f"{wrong}, the manifest", STATE, ValueError, "is damaged")
    def damaged_manifest(folder, damage=damage):
        state(folder)
        damage(folder / run_files.MANIFEST)
        run_files.read_manifest(folder)

    @raises(SECTION, f"{wrong}, the weights", STATE, ValueError, "is damaged")
    def damaged_arrays(folder, damage=damage):
        entry = state(folder)
        damage(folder / entry["file"])
        list(run_files.read_arrays(folder, entry))


@raises(SECTION, "a file outside, named", STATE, ValueError, "is damaged")
def outside(folder):
    (folder / "inside").mkdir()
    entry = state(folder)
    entry["file"] = f"../{entry['file']}"
    list(run_files.read_arrays(folder / "inside", entry))


@raises(SECTION, "another format", STATE, ValueError, "must be of format")
def other_format(folder):
    run_files.write_manifest(folder, {"format": 99})
    run_files.read_manifest(folder)


@raises(SECTION, "the run of something else", STATE, ValueError, "other seed")
def other_run(folder):
    run_identity.check_same({"seed": 0}, {"seed": 1}, folder)


@warns(SECTION, "a cache of embeddings, damaged", "`image_cache=`", "damaged")
def damaged_cache(folder):
    for name in ("image_embeddings.bin", "image_embeddings.json"):
        (folder / name).write_bytes(b"[" * 100_000)
    assert ImageEmbeddings(folder)._known("key") is None


@kept(SECTION, "a full disk", "every file", "the older file stays whole")
def full_disk(folder):
    path = folder / "targets.parquet"
    path.write_text("old")
    fsync = os.fsync

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    os.fsync = full
    try:
        with replacing(path) as temporary:
            temporary.write_text("new")
        raise AssertionError("the disk was not full")
    except OSError:
        assert path.read_text() == "old"
        assert list(folder.iterdir()) == [path]
    finally:
        os.fsync = fsync


AFTER = "a source, after the start"


class Moving(list):
    """Rows of a source that changes once it was read."""

    fault = None

    def __getitem__(self, index):
        if isinstance(self.fault, Exception):
            raise self.fault
        row = super().__getitem__(index)
        return row if self.fault is None else row | self.fault


for wrong, fault, part in (
    ("a disk that goes away", OSError("gone"), "scene-1"),
    ("fewer rows than before", IndexError("3 rows"), "scene-1"),
):

    @raises(SECTION, wrong, AFTER, "RowError", part)
    def failing(folder, fault=fault):
        read_again(fault)


for wrong, fault in (
    ("another image", {"images": BLACK}),
    ("an image of another size", {"images": BLACK[:8]}),
):

    @raises(SECTION, wrong, AFTER, ValueError, "must not change")
    def moving(folder, fault=fault):
        read_again(fault)


def read_again(fault):
    """Reads an image of a source that has a fault by now."""
    source = Moving(rows())
    prepared = keras_byorn.PreparedExamples(
        keras_byorn.Examples(source), tiny(), verbose=0
    )
    source.fault = fault
    prepared.images.pixels([1])
