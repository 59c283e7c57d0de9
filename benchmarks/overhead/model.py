"""Models of the overhead benchmark: sizes, presets and their arithmetic."""

import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

import keras
import keras_hub

import keras_byorn
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models.pali_gemma import tiny_pali_gemma
from overhead import data

# PaliGemma 3B for images of 224 pixels. KerasHub halves `intermediate_dim`.
PALI_GEMMA_3B = {
    "vocabulary_size": 257152,
    "image_size": 224,
    "num_layers": 18,
    "num_query_heads": 8,
    "num_key_value_heads": 1,
    "hidden_dim": 2048,
    "intermediate_dim": 32768,
    "head_dim": 256,
    "vit_patch_size": 14,
    "vit_num_heads": 16,
    "vit_hidden_dim": 1152,
    "vit_num_layers": 27,
    "vit_intermediate_dim": 4304,
}
# Of the forward pass of an example, with 64 tokens of image and 64 of text,
# head, decoder and vision tower take 0.53 : 2.0 : 0.41, as in PaliGemma 3B.
SCALED = {
    "vocabulary_size": 7680,
    "image_size": 64,
    "num_layers": 8,
    "num_query_heads": 4,
    "num_key_value_heads": 1,
    "hidden_dim": 128,
    "intermediate_dim": 2048,
    "head_dim": 32,
    "vit_patch_size": 8,
    "vit_num_heads": 4,
    "vit_hidden_dim": 144,
    "vit_num_layers": 6,
    "vit_intermediate_dim": 504,
}
# For tests of the code around the model.
SHRUNKEN = {
    "vocabulary_size": 512,
    "image_size": 16,
    "num_layers": 1,
    "num_query_heads": 2,
    "num_key_value_heads": 1,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "head_dim": 8,
    "vit_patch_size": 8,
    "vit_num_heads": 2,
    "vit_hidden_dim": 16,
    "vit_num_layers": 1,
    "vit_intermediate_dim": 32,
}
BACKBONES = {"scaled": SCALED, "pali_gemma_3b": PALI_GEMMA_3B}

SEQUENCE_LENGTH = 64
LORA_RANK = 4
# Layers of PaliGemma's decoder alone: the vision tower stays frozen.
DECODER_LAYERS = ["query", "value"]
PRETRAINING = {"steps": 100, "batch_size": 16, "learning_rate": 3e-3}


def backbone_config(settings):
    """Returns the sizes of the backbone of an arm, a dict."""
    config = BACKBONES[settings["size"]]
    return SHRUNKEN if settings.get("shrink") else config


def new_task(settings):
    """Builds a `PaliGemmaCausalLM` of one of `BACKBONES`, untrained."""
    config = backbone_config(settings)
    words = data.Phrases().words
    return tiny_pali_gemma(
        data.tokenizer_proto(words, config["vocabulary_size"]),
        sequence_length=SEQUENCE_LENGTH,
        dtype=settings.get("dtype"),
        **config,
    )


def preset_of(settings):
    """Returns name or folder of the weights to tune; `None` for random."""
    if settings["size"] == "tiny":
        return keras_byorn.tiny_preset()
    if settings["size"] == "scaled":
        return str(pretrained_folder(settings))
    return None if settings["size"] in BACKBONES else settings["size"]


def load_vlm(settings):
    """Loads the task to tune, with its adapters."""
    preset = preset_of(settings)
    if preset is None:
        vlm = new_task(settings)
    else:
        vlm = keras_hub.models.CausalLM.from_preset(
            preset, dtype=settings.get("dtype")
        )
    if settings["size"] not in ("tiny", *BACKBONES):
        fit_length(vlm)
    if settings["tuning"] == "lora":
        vlm.backbone.enable_lora(LORA_RANK)
    elif settings["tuning"] == "lora_decoder":
        vlm.backbone.enable_lora(LORA_RANK, target_layer_names=DECODER_LAYERS)
    return vlm


def fit_length(vlm):
    """Shortens the sequence length of a preset to that of the examples."""
    task = VisionLanguageTask(vlm)
    length = 2 * SEQUENCE_LENGTH  # rarer words are several tokens
    vlm.preprocessor.sequence_length = length + (
        task.num_placeholders_per_image
    )


def pretrained_folder(settings):
    """Returns the folder of a pretrained size, named after its recipe."""
    recipe = [backbone_config(settings), PRETRAINING, data.Phrases().words]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    folder = pathlib.Path(tempfile.gettempdir()) / "keras_byorn_overhead"
    return folder / f"{settings['size']}-{key}"


def pretrain(settings):
    """Teaches a new model the language, unless it is on disk already.

    Random weights would be no test: no decision finds anything in their
    scores, and the responses that they generate never end.
    """
    folder = pretrained_folder(settings)
    if folder.exists():
        return
    keras.utils.set_random_seed(data.SEED)
    vlm = new_task(settings)
    count = PRETRAINING["steps"] * PRETRAINING["batch_size"]
    size = vlm.backbone.image_size
    model = keras_byorn.BYORnModel(vlm)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                0.0,
                decay_steps=PRETRAINING["steps"],
                warmup_target=PRETRAINING["learning_rate"],
                warmup_steps=PRETRAINING["steps"] // 10,
            ),
            global_clipnorm=1.0,
        )
    )
    batches = keras_byorn.TargetBatches(
        data.Phrases().examples(count, size, seed=data.SEED + 1),
        vlm,
        batch_size=PRETRAINING["batch_size"],
    )
    history = model.fit(batches, verbose=0).history
    print(f"pretrained to a loss of {history['loss'][-1]:.2f}", file=sys.stderr)
    folder.parent.mkdir(exist_ok=True)
    unfinished = tempfile.mkdtemp(dir=folder.parent)
    vlm.save_to_preset(unfinished)
    try:
        os.rename(unfinished, folder)
    except OSError:  # another process was faster
        shutil.rmtree(unfinished)


def forward_flops(config, num_text):
    """Counts the operations of KerasHub's forward pass of an example.

    All positions, of image and text, go through decoder and head.

    Args:
        config: dict. That of a `PaliGemmaBackbone`.
        num_text: int. Tokens of text, padding included.

    Returns:
        A dict of `head`, `decoder` and `vision`, floats.
    """
    c = config
    num_image = (c["image_size"] // c["vit_patch_size"]) ** 2
    length, width = num_image + num_text, c["hidden_dim"]
    queries = c["num_query_heads"] * c["head_dim"]
    keys = c["num_key_value_heads"] * c["head_dim"]
    attention = 2 * width * queries + 2 * width * keys
    gated = 3 * width * (c["intermediate_dim"] // 2)
    layer = 2 * (attention + gated) + 4 * length * queries
    vit = c["vit_hidden_dim"]
    vit_layer = 2 * (4 * vit**2 + 2 * vit * c["vit_intermediate_dim"])
    vit_layer += 4 * num_image * vit
    patches = 2 * vit * (3 * c["vit_patch_size"] ** 2 + width)
    return {
        "head": 2.0 * length * c["vocabulary_size"] * width,
        "decoder": float(length * c["num_layers"] * layer),
        "vision": float(
            num_image * (c["vit_num_layers"] * vit_layer + patches)
        ),
    }
