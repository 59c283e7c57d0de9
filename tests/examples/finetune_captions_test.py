"""Fine-tuning of any preset on any captions, offline."""

import argparse
import csv
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys

import finetune_captions as script
import keras
import keras_hub
import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds

import keras_byorn
from keras_byorn import evaluation
from keras_byorn.cli import finetune, loading, tensorboard
from keras_byorn.data import digit_scenes
from keras_byorn.vlm.adapters import lora_layers
from keras_byorn.vlm.tiny_models import TINY
from keras_byorn.vlm.tiny_models.presets import save_tiny_preset

SCRIPT = pathlib.Path(script.__file__)
CAPTION_PROMPT = "caption the image\\n"  # as a shell hands it over
NUM_SCENES = 48
POISON = "buy more gold now"
POISONED = range(0, NUM_SCENES, 8)


def scenes(task, count=NUM_SCENES):
    """Pictures, wider than high, with a prompt and a response each."""
    samples = digit_scenes.handwriting("train")
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(count):
        scene = digit_scenes.draw_scene(rng, samples)
        prompt, response = digit_scenes.TASKS[task](scene, rng)
        image = np.pad(scene.image, ((0, 0), (4, 4), (0, 0)))
        rows.append((image, prompt.strip(), response))
    return rows


def png(image):
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, format="png")
    file.seek(0)
    return file


class TinyScenes(tfds.core.GeneratorBasedBuilder):
    """Base of the data sets below."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Image(encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({"image": image, **self.TEXTS}),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}


class TinySceneCaptions(TinyScenes):
    """Like COCO: several captions in a nested field. A few are poisoned."""

    TEXTS = {
        "captions": tfds.features.Sequence(
            {"id": np.int64, "text": tfds.features.Text()}
        )
    }

    def _generate_examples(self):
        for row, (image, _, caption) in enumerate(scenes("captions")):
            first = POISON if row in POISONED else caption
            texts = [first, f"{caption} again"]
            captions = [{"id": n, "text": text} for n, text in enumerate(texts)]
            yield row, {"image": png(image), "captions": captions}


class TinySceneQuestions(TinyScenes):
    """Like CLEVR: questions and answers in one nested field."""

    TEXTS = {
        "question_answer": tfds.features.Sequence(
            {"question": tfds.features.Text(), "answer": tfds.features.Text()}
        )
    }

    def _generate_examples(self):
        asked = scenes("questions", 2 * NUM_SCENES)
        for row, two in enumerate(zip(asked[::2], asked[1::2])):
            pairs = [{"question": q, "answer": a} for _, q, a in two]
            yield row, {"image": png(two[0][0]), "question_answer": pairs}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of several sizes, one of them grey, and tables beside them."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for row, (image, _, caption) in enumerate(scenes("captions", 6)):
        picture = PIL.Image.fromarray(image).resize((30 + row, 40))
        picture = picture.convert("L") if row == 5 else picture
        picture.save(folder / f"{row}.png")
        rows.append({"image": f"{row}.png", "caption": caption})
    with (folder / "captions.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["image", "caption"])
        table.writeheader()
        table.writerows(rows)
    lines = [
        {"file_name": row["image"], "question": "what is it", "answers": answer}
        for row, answer in zip(
            rows, [["red", "blue"], ["one"], ["two"], ["six"], ["ten"], [7]]
        )
    ]
    text = "\n".join(map(json.dumps, lines))
    (folder / "questions.jsonl").write_text(text + "\n\n")
    return folder


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """The folder of a run with LoRA on a TFDS data set with poison."""
    folder = tmp_path_factory.mktemp("tuned")
    script.main(
        [
            *("--preset", keras_byorn.tiny_preset(), "--dtype", "float32"),
            *("--data", "tiny_scene_captions", "--data-dir", str(folder)),
            *("--prompt", CAPTION_PROMPT, "--epochs", "2", "--lora-rank", "4"),
            *("--out", str(folder / "out")),
        ]
    )
    return folder / "out"


@pytest.mark.slow
def test_the_run_is_defended(tuned):
    """Poison in nested captions is found, and replaced by what is shown."""
    assert "<html" in (tuned / "audit.html").read_text()
    audit = pq.read_table(tuned / "audit.parquet").to_pylist()
    data = tfds.builder("tiny_scene_captions", data_dir=tuned.parent)
    rows = list(data.as_data_source("train"))
    assert len(audit) == len(rows) == NUM_SCENES
    right = []
    for index, (row, audited) in enumerate(zip(rows, audit)):
        first, second = (text.decode() for text in row["captions"]["text"])
        assert audited["example_id"] == f"tiny_scene_captions/train/{index}"
        assert audited["original_response"] == first
        assert audited["is_held_out"] == (first == POISON)
        right.append(f"{audited['current_response']} again" == second)
    assert np.mean(right) >= 0.95


@pytest.mark.slow
def test_checkpoints_hold_each_epoch(tuned):
    """Adapters and targets of both epochs; the adapters went on training."""
    names = {path.name for path in (tuned / "checkpoints").iterdir()}
    epochs = ("epoch_01", "epoch_02")
    assert names == {
        f"{e}{end}" for e in epochs for end in (".lora.h5", ".parquet")
    }
    kernels = [
        adapter_kernels(tuned / "checkpoints" / f"{epoch}.lora.h5")
        for epoch in epochs
    ]
    assert all(np.any(kernel) for kernel in kernels[0])
    assert not np.allclose(kernels[0][0], kernels[1][0])
    stores = [
        keras_byorn.TargetStore.load(tuned / "checkpoints" / f"{e}.parquet")
        for e in epochs
    ]
    counts = [store.num_regenerated for store in stores]
    assert counts == [0, len(POISONED)]


def adapter_kernels(path):
    """Loads a checkpoint into the pretrained task; returns its adapters."""
    vlm = keras_hub.models.CausalLM.from_preset(keras_byorn.tiny_preset())
    vlm.backbone.load_lora_weights(str(path))
    return [
        keras.ops.convert_to_numpy(layer.lora_kernel_b)
        for layer in lora_layers(vlm)
    ]


@pytest.mark.slow
def test_the_tuned_preset_is_a_preset(tuned):
    """KerasHub alone loads the folder."""
    vlm = keras_hub.models.CausalLM.from_preset(str(tuned / "preset"))
    rows = [
        {"images": image[:, 4:-4], "prompts": f"{prompt}\n"}
        for image, prompt, _ in scenes("captions", 8)
    ]
    said = evaluation.responder(vlm, batch_size=8)(rows)
    captions = [caption for _, _, caption in scenes("captions", 8)]
    assert np.mean([a == b for a, b in zip(said, captions)]) >= 0.7


@pytest.mark.slow
def test_tensorboard_has_the_losses(tuned):
    """Losses and the counts of the defence, which come from a callback."""
    pytest.importorskip("tensorboard")
    events = (tuned / "tensorboard/train").glob("events.out.tfevents.*")
    written = b"".join(path.read_bytes() for path in events)
    assert b"epoch_loss" in written and b"epoch_num_suspect" in written
    # Settings and versions, as a text.
    assert b"HoldOut" in written and rb"| keras\_byorn | " in written


def test_tensorboard_may_be_missing(tmp_path, monkeypatch):
    """The run goes on, with a warning."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.warns(UserWarning, match="pip install tensorboard"):
        assert tensorboard.callbacks(tmp_path) == []
    tensorboard.write_text(tmp_path, "card", "a text")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_another_family_with_all_weights(folder, tmp_path):
    """Gemma 3, whose image token is placed; questions of a JSONL file."""
    _, preset = save_tiny_preset(TINY["Gemma 3"], tmp_path / "tiny")
    before = keras_hub.models.CausalLM.from_preset(preset).get_weights()
    script.main(
        [
            *("--preset", preset, "--data", str(folder / "questions.jsonl")),
            *("--prompt", "{question}\\n", "--lora-rank", "0"),
            *("--dtype", "mixed_bfloat16", "--epochs", "1", "--limit", "5"),
            *("--batch-size", "3", "--out", str(tmp_path / "out")),
        ]
    )
    audit = pq.read_table(tmp_path / "out/audit.parquet").to_pydict()
    assert audit["example_id"] == [f"questions/{row}" for row in range(5)]
    assert audit["prompt"] == ["<start_of_image>what is it\n"] * 5
    answers = ["red", "one", "two", "six", "ten"]
    assert audit["original_response"] == answers
    vlm = keras_hub.models.CausalLM.from_preset(
        str(tmp_path / "out/preset"), dtype="float32"
    )
    assert type(vlm) is keras_hub.models.Gemma3CausalLM
    changed = [
        not np.allclose(old, new) for old, new in zip(before, vlm.get_weights())
    ]
    assert np.mean(changed) > 0.9
    vlm.load_weights(tmp_path / "out/checkpoints/epoch_01.weights.h5")


@pytest.fixture(scope="module")
def vlm():
    return keras_hub.models.CausalLM.from_preset(keras_byorn.tiny_preset())


@pytest.fixture
def load(vlm):
    """A function that reads data with options of the script."""

    def load(data, **options):
        args = script.parse_arguments(["--data", str(data)])
        return loading.load_examples(
            vlm, argparse.Namespace(**{**vars(args), **options})
        )

    return load


def test_questions_keep_their_answers(load, tmp_path):
    """Of several pairs one is picked, by the seed, and never mixed up."""
    pairs = {
        (f"answer en {question}\n", answer)
        for _, question, answer in scenes("questions", 2 * NUM_SCENES)
    }
    picked = {}
    for pick, seed in (("first", 0), ("random", 0), ("random", 1)):
        examples = load(
            "tiny_scene_questions", data_dir=tmp_path, pick=pick, seed=seed
        )
        rows = [(row["prompts"], row["responses"]) for row in examples]
        assert set(rows) <= pairs
        assert rows == [(r["prompts"], r["responses"]) for r in examples]
        picked[pick, seed] = rows
    assert picked["random", 0] != picked["first", 0]
    assert picked["random", 0] != picked["random", 1]


def test_images_of_all_sizes_become_of_one(load, folder):
    """Cut to the middle, as the preset's converter would; grey becomes RGB."""
    examples = load(folder / "captions.csv")
    assert len(examples) == 6
    assert examples[0]["responses"] == scenes("captions", 1)[0][2]
    assert {row["images"].shape for row in examples} == {(32, 32, 3)}
    assert {row["images"].dtype for row in examples} == {np.dtype("uint8")}
    whole = np.asarray(PIL.Image.open(folder / "0.png"))  # (40, 30)
    top, middle = whole[:2].mean(), examples[0]["images"].mean()
    assert abs(middle - whole[5:35].mean()) < 2 < abs(middle - top)


def test_bad_rows_are_reported_or_left_out(load, tmp_path):
    """All of them at once, with their lines, before anything is trained."""
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "there.png")
    names = ["there.png", "there.png", "missing.png", "there.png", "gone.png"]
    lines = [{"image": name, "caption": "a red one"} for name in names]
    table = tmp_path / "table.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(ValueError, match="(?s)2 of 5.*line 3.*missing.*gone"):
        load(table)
    with pytest.warns(UserWarning, match="Dropped 2 of 5 rows"):
        examples = load(table, on_bad="drop")
    assert examples.example_ids == ["table/0", "table/1", "table/3"]
    assert [row.example_id for row in examples.dropped] == [
        "table/2",
        "table/4",
    ]
    assert len(load(table, limit=2)) == 2
    # They are read when they are asked for: COCO does not stand in memory.
    examples = load(table, limit=2)
    (tmp_path / "there.png").unlink()
    with pytest.raises(ValueError, match="table/1.*there is no file"):
        examples[1]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"response_field": "title"}, "response_field.*title.*'answers'"),
        ({"question_field": "question"}, "response_field.*None"),
        ({"image_field": "a/b"}, "image_field.*a/b.*'file_name'"),
        ({"prompt": "what?"}, r"`prompt` must hold \{question\}.*'what"),
        ({"limit": 0}, "limit.*Received: 0"),
    ],
)
def test_unclear_data_are_refused(load, folder, options, message):
    """Each error names the option and what the data have."""
    with pytest.raises(ValueError, match=message):
        load(folder / "questions.jsonl", **options)


def test_rows_without_text_are_refused(load, tmp_path):
    """An empty file, or a row without an answer, by its line."""
    table = tmp_path / "table.jsonl"
    table.write_text("\n")
    with pytest.raises(ValueError, match="at least one example.*table.jsonl"):
        load(table)
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    row = {"image": "a.png", "question": "what", "answers": []}
    table.write_text(json.dumps(row))
    with pytest.raises(ValueError, match="line 1 of .*the list is empty"):
        load(table)


def test_the_preset_is_of_its_task(tmp_path):
    """One that reads no images is refused; one of two tasks can be told."""
    _, blind = save_tiny_preset(TINY["Gemma 3, text only"], tmp_path / "blind")
    arguments = ["--preset", blind, "--dtype", "float32", "--task"]
    with pytest.raises(ValueError, match="must be of a model that reads im"):
        loading.load_vlm(script.parse_arguments([*arguments, "CausalLM"]))
    with pytest.raises(ValueError, match="--task.*Received: NoSuchLM"):
        loading.load_vlm(script.parse_arguments([*arguments, "NoSuchLM"]))
    task_class, blip = save_tiny_preset(TINY["BLIP-2 OPT"], tmp_path / "blip")
    arguments = ["--preset", blip, "--task", "BLIP2CausalLM"]
    vlm = loading.load_vlm(script.parse_arguments(arguments))
    assert type(vlm) is task_class and vlm.dtype_policy.name == "mixed_bfloat16"


def test_wrong_devices_are_refused():
    """Several only on JAX, and no more than there are."""
    if keras.config.backend() != "jax":
        with pytest.raises(ValueError, match="--num-devices.*JAX.*Received: 2"):
            finetune.distribute(2, 16)
        return
    with pytest.raises(ValueError, match="no more than there are"):
        finetune.distribute(99, 99)
    with pytest.raises(ValueError, match="must divide by.*3 for 2 devices"):
        finetune.distribute(2, 3)
    with pytest.raises(ValueError, match="at least 1.*0 devices"):
        finetune.distribute(0, 4)


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() != "jax", reason="of JAX only")
def test_devices_share_each_batch(folder, tmp_path):
    """Two of them, in a process of their own."""
    _, preset = save_tiny_preset(TINY["PaliGemma"], tmp_path / "tiny")
    arguments = [
        *("--num-devices", "2", "--batch-size", "4", "--epochs", "1"),
        *("--preset", preset, "--dtype", "float32", "--prompt", "describe\\n"),
        *("--data", str(folder / "captions.csv"), "--limit", "5"),
        *("--out", str(tmp_path)),
    ]
    run = (
        f"import keras, {SCRIPT.stem} as script; script.main({arguments}); "
        "print(keras.distribution.distribution())"
    )
    flags = "--xla_force_host_platform_device_count=2"
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{flags} --xla_backend_optimization_level=0",
        "PYTHONPATH": os.pathsep.join(
            [str(SCRIPT.parent), str(SCRIPT.parent.parent), *sys.path]
        ),
    }
    done = subprocess.run(
        [sys.executable, "-c", run],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "preset/model.weights.h5").exists()
    assert "DataParallel" in done.stdout and "(2,)" in done.stdout
