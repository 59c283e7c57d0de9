"""Scores and responses against Hugging Face transformers, weight for weight.

Tiny random checkpoints are saved by transformers and read by KerasHub's own
converters. Token ids and pixels are handed to both as they are.
"""

import json
import os

import keras
import keras_hub
import numpy as np
import pytest

from keras_byorn.detection.reference import FrozenReference
from keras_byorn.vlm.response_logits import response_log_likelihoods
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models.gemma import GEMMA3_PIECES
from keras_byorn.vlm.tiny_models.pali_gemma import IMAGE_SIZE, SIGLIP_PIXELS
from keras_byorn.vlm.tiny_models.tokenizers import byte_pairs, sentence_pieces

# Every file is made here, none is loaded from a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.numpy")
torch = pytest.importorskip("torch")

LENGTH = 28
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def with_large_weights(model, seed=0):
    """Assigns weights that make likelihoods differ, drawn by NumPy."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            # With larger ones a tied head repeats its last token.
            scale = 0.3 if "embed" in name else 0.6
            values = rng.normal(0, scale, tuple(weight.shape))
            if weight.ndim == 1:
                values = values / 6 + weight.numpy()
            weight.copy_(torch.from_numpy(values.astype("float32")))
    return model.eval()


def saved(model, folder, **files):
    """Saves a model; `files` are JSON objects or bytes beside it.

    Weights are named as in the published checkpoints, for KerasHub reads no
    others. transformers 5 writes shorter names.
    """
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    weights = {
        name.replace("vision_tower.", "vision_tower.vision_model."): weight
        for name, weight in safetensors.load_file(path).items()
    }
    if "language_model.shared.weight" in weights:  # T5's head is not saved
        head = model.language_model.lm_head.weight.detach().numpy()
        weights["language_model.lm_head.weight"] = head
    safetensors.save_file(weights, path)
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(json.dumps(content))


class PaliGemma:
    """PaliGemma: image tokens before a prompt with full attention."""

    task_class = keras_hub.models.PaliGemmaCausalLM
    num_image_tokens = 4

    def __init__(self, folder):
        proto = sentence_pieces()
        tokenizer = keras_hub.models.PaliGemmaTokenizer(proto=proto)
        size = tokenizer.vocabulary_size()
        config = transformers.PaliGemmaConfig(
            text_config={
                "model_type": "gemma",
                "vocab_size": size + 8,
                "head_dim": self.num_image_tokens,
                "num_image_tokens": self.num_image_tokens,
                **TEXT,
            },
            vision_config={
                "model_type": "siglip_vision_model",
                "image_size": 16,
                "patch_size": 8,
                "projection_dim": 16,
                "vision_use_head": False,
                **VISION,
            },
            image_token_index=size,
            projection_dim=16,
        )
        self.image_token = self.vocabulary_size = size
        self.model = with_large_weights(
            transformers.PaliGemmaForConditionalGeneration(config)
        )
        saved(
            self.model,
            folder,
            tokenizer__model=proto,
            preprocessor_config__json={},
        )
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["text_config"]["num_image_tokens"] = self.num_image_tokens
        config["image_token_index"] = size
        path.write_text(json.dumps(config))

    def preprocessor(self, folder):
        return keras_hub.models.PaliGemmaCausalLMPreprocessor(
            tokenizer=keras_hub.models.PaliGemmaTokenizer(
                proto=sentence_pieces()
            ),
            image_converter=keras_hub.layers.PaliGemmaImageConverter(
                image_size=(IMAGE_SIZE, IMAGE_SIZE), **SIGLIP_PIXELS
            ),
            sequence_length=LENGTH,
        )

    def inputs(self, pixels, ids, num_prompt):
        ids = np.concatenate([[self.image_token] * self.num_image_tokens, ids])
        types = np.arange(len(ids)) >= num_prompt + self.num_image_tokens
        return {
            "input_ids": torch.tensor(ids[None]),
            "token_type_ids": torch.tensor(types[None].astype("int64")),
            "attention_mask": torch.ones((1, len(ids)), dtype=torch.int64),
            "labels": torch.tensor(ids[None]),  # or the prompt is causal
            "pixel_values": torch.tensor(pixels),
        }


class Gemma3:
    """Gemma 3: image tokens within the prompt, with full attention."""

    task_class = keras_hub.models.Gemma3CausalLM
    num_image_tokens = 0  # before the text

    def __init__(self, folder):
        proto = sentence_pieces((*GEMMA3_PIECES, "<start_of_turn>"))
        tokenizer = keras_hub.models.Gemma3Tokenizer(proto=proto)
        self.image_token = tokenizer.token_to_id("<img>")
        self.vocabulary_size = tokenizer.vocabulary_size()
        config = transformers.Gemma3Config(
            text_config={
                "vocab_size": tokenizer.vocabulary_size(),
                "head_dim": 8,
                "query_pre_attn_scalar": 8,
                "sliding_window": 64,
                **TEXT,
            },
            vision_config={
                "image_size": 32,
                "patch_size": 4,
                "vision_use_head": False,
                **VISION,
            },
            mm_tokens_per_image=4,
            image_token_index=self.image_token,
            boi_token_index=tokenizer.token_to_id("<start_of_image>"),
            eoi_token_index=tokenizer.token_to_id("<end_of_image>"),
        )
        self.model = with_large_weights(
            transformers.Gemma3ForConditionalGeneration(config),
            seed=2,  # with others it repeats one token
        )
        saved(
            self.model,
            folder,
            tokenizer__model=proto,
            preprocessor_config__json={
                "image_mean": [0.5] * 3,
                "image_std": [0.5] * 3,
                "rescale_factor": 1 / 255,
            },
        )

    def preprocessor(self, folder):
        return keras_hub.models.Gemma3CausalLMPreprocessor.from_preset(
            str(folder),
            sequence_length=LENGTH,
            max_images_per_prompt=1,
            num_vision_tokens_per_image=4,
        )

    def inputs(self, pixels, ids, num_prompt):
        return {
            "input_ids": torch.tensor(ids[None]),
            "token_type_ids": torch.tensor(
                (ids == self.image_token)[None].astype("int64")
            ),
            "attention_mask": torch.ones((1, len(ids)), dtype=torch.int64),
            "pixel_values": torch.tensor(pixels),
        }


class Blip2:
    """BLIP-2, with OPT or Flan-T5 as `language_model`."""

    num_image_tokens = 4
    seed = 1  # with others it repeats one token

    def __init__(self, folder):
        self.image_token = self.make_tokenizer(folder)
        config = transformers.Blip2Config(
            vision_config={"image_size": 16, "patch_size": 8, **VISION},
            qformer_config={
                **VISION,
                "num_hidden_layers": 2,
                "vocab_size": 8,
                "encoder_hidden_size": 16,
            },
            text_config={
                "vocab_size": self.vocabulary_size,
                **self.language_model,
            },
            num_query_tokens=self.num_image_tokens,
            image_token_index=self.image_token,
            tie_word_embeddings=False,
        )
        self.adjust(config)
        model = transformers.Blip2ForConditionalGeneration(config)
        self.untie(model)
        self.model = with_large_weights(model, self.seed)
        saved(self.model, folder)
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["text_config"].update(self.language_model)
        config["text_config"]["vocab_size"] = self.vocabulary_size
        path.write_text(json.dumps(config))

    def preprocessor(self, folder):
        return self.task_class.preprocessor_cls.from_preset(
            str(folder), **self.lengths
        )

    def adjust(self, config):
        """Adjusts a configuration to KerasHub, if needed."""

    def untie(self, model):
        """Unties weights that KerasHub does not tie, if needed."""


class Blip2Opt(Blip2):
    """BLIP-2 with OPT: image features before the prompt."""

    task_class = keras_hub.models.BLIP2CausalLM
    lengths = {"sequence_length": LENGTH}
    language_model = {
        "model_type": "opt",
        "hidden_size": 16,
        "word_embed_proj_dim": 16,
        "ffn_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
    }

    def make_tokenizer(self, folder):
        special = ("<s>", "<pad>", "</s>", "Ċ", "<image>")
        vocabulary, merges = byte_pairs(*special)
        added = [
            {"content": piece, "id": vocabulary[piece]}
            for piece in special
            if piece != "Ċ"
        ]
        tokenizer = {
            "model": {"vocab": vocabulary, "merges": merges},
            "added_tokens": added,
        }
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        self.vocabulary_size = len(vocabulary)
        return vocabulary["<image>"]

    def inputs(self, pixels, ids, num_prompt):
        ids = np.concatenate([[self.image_token] * self.num_image_tokens, ids])
        return {
            "input_ids": torch.tensor(ids[None]),
            "attention_mask": torch.ones((1, len(ids)), dtype=torch.int64),
            "pixel_values": torch.tensor(pixels),
        }


class Blip2T5(Blip2):
    """BLIP-2 with Flan-T5: image features before the encoder's prompt."""

    task_class = keras_hub.models.BLIP2Seq2SeqLM
    lengths = {
        "encoder_sequence_length": LENGTH,
        "decoder_sequence_length": LENGTH,
    }
    language_model = {
        "model_type": "t5",
        "d_model": 16,
        "d_ff": 32,
        "d_kv": 8,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
    }

    def make_tokenizer(self, folder):
        proto = sentence_pieces(("<image>",), eos_piece="</s>")
        (folder / "spiece.model").write_bytes(proto)
        tokenizer = keras_hub.models.BLIP2FlanT5Tokenizer(proto=proto)
        self.vocabulary_size = tokenizer.vocabulary_size()
        return tokenizer.token_to_id("<image>")

    def adjust(self, config):
        """Makes the gates exact GELUs, as KerasHub's are."""
        config.text_config.dense_act_fn = "gelu"

    def untie(self, model):
        """Gives Flan-T5 its own head; transformers 5 ties that of any T5."""
        head = model.language_model.lm_head
        head.weight = torch.nn.Parameter(head.weight.detach().clone())

    def inputs(self, pixels, ids, num_prompt, encoder_ids):
        encoder_ids = np.concatenate(
            [[self.image_token] * self.num_image_tokens, encoder_ids]
        )
        return {
            "input_ids": torch.tensor(encoder_ids[None]),
            "attention_mask": torch.ones(
                (1, len(encoder_ids)), dtype=torch.int64
            ),
            "decoder_input_ids": torch.tensor(ids[None]),
            "pixel_values": torch.tensor(pixels),
        }


ORACLES = [PaliGemma, Gemma3, Blip2Opt, Blip2T5]


@pytest.fixture(scope="module", params=ORACLES, ids=lambda o: o.__name__)
def pair(request, tmp_path_factory):
    """A transformers model and a KerasHub task with equal weights."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    oracle = request.param(folder)
    task = oracle.task_class.from_preset(
        str(folder), preprocessor=oracle.preprocessor(folder), dtype="float32"
    )
    return oracle, task


def examples_of(task):
    """Makes images, prompt ids and response ids of two examples."""
    token = f"{task.image_token} " if task.image_token else ""
    prompts = [f"{token}what colour\n", f"{token}describe the left digit\n"]
    rng = np.random.default_rng(3)
    size = task.preprocessor.image_converter.image_size
    images = task.stack_images(
        [rng.integers(0, 256, (*size, 3)).astype("uint8") for _ in prompts]
    )
    responses = task.tokenize(["red", "a green one left"])
    return images, task.tokenize_prompts(prompts), responses


def oracle_logits(oracle, x, row, ids, num_prompt):
    """Computes logits after each of these ids by transformers, float64."""
    pixels = x["images"].reshape(-1, *x["images"].shape[-3:])[row : row + 1]
    more = {}
    if "encoder_token_ids" in x:
        mask = np.asarray(x["encoder_padding_mask"][row], bool)
        more["encoder_ids"] = x["encoder_token_ids"][row][mask].astype("int64")
    inputs = oracle.inputs(
        np.moveaxis(pixels, -1, 1), ids.astype("int64"), num_prompt, **more
    )
    with torch.no_grad():
        logits = oracle.model(**inputs).logits[0, -len(ids) :]
    # KerasHub drops PaliGemma's tokens from that of the image on.
    return logits[:, : oracle.vocabulary_size].double()


def expected_log_likelihoods(oracle, x, y, mask):
    """Scores row by row without padding, by transformers, in float64."""
    expected = np.zeros(mask.shape)
    token_ids = x.get("decoder_token_ids", x.get("token_ids"))
    for row, own in enumerate(mask):
        stop = np.flatnonzero(own)[-1] + 1
        num_prompt = np.flatnonzero(own)[0] + 1
        logits = oracle_logits(
            oracle, x, row, token_ids[row, :stop], num_prompt
        )
        chosen = torch.log_softmax(logits, -1).numpy()[
            np.arange(stop), y[row, :stop]
        ]
        expected[row, :stop] = np.where(own[:stop], chosen, 0.0)
    return expected


def scored(vlm, x, y, mask):
    log_likelihoods, _ = response_log_likelihoods(vlm, x, y, mask)
    return keras.ops.convert_to_numpy(log_likelihoods)


@pytest.mark.slow
def test_every_response_token_is_as_likely(pair):
    """Log-likelihoods agree to 1e-4 nats on every backend."""
    oracle, vlm = pair
    task = VisionLanguageTask(vlm)
    images, prompts, responses = examples_of(task)
    packed = task.pack(prompts, responses, LENGTH + 1)
    x, y, mask = task.training_inputs(images, *packed)
    expected = expected_log_likelihoods(oracle, x, y, mask)
    assert mask.sum() >= 6 and expected[mask].max() < -0.01
    np.testing.assert_allclose(scored(vlm, x, y, mask), expected, atol=1e-4)


def test_greedy_responses_are_the_same(pair):
    """Each token is the likeliest one under transformers."""
    oracle, vlm = pair
    task = VisionLanguageTask(vlm)
    vlm.compile(sampler="greedy")
    images, prompts, _ = examples_of(task)
    for row, prompt in enumerate(prompts):
        text, (start,) = task.family.generation_text(
            vlm.preprocessor, [prompt], LENGTH
        )
        inputs = task.family.inputs(
            vlm.preprocessor, images[row : row + 1], text
        )
        outputs = vlm.make_generate_function()(inputs, stop_token_ids=None)
        (generated,) = task.family.generated_ids(outputs)
        ids = generated[:start]
        while len(ids) < LENGTH:
            logits = oracle_logits(oracle, inputs, 0, ids, start)
            ids = np.append(ids, int(logits[-1].argmax()))
        np.testing.assert_array_equal(generated, ids)
        assert len(set(ids[start:])) > 1


def test_adapters_off_is_the_checkpoint(pair):
    """With LoRA in use the reference still agrees with transformers."""
    oracle, vlm = pair
    task = VisionLanguageTask(vlm)
    images, prompts, responses = examples_of(task)
    packed = task.pack(prompts, responses, LENGTH + 1)
    x, y, mask = task.training_inputs(images, *packed)
    expected = expected_log_likelihoods(oracle, x, y, mask)
    vlm.backbone.enable_lora(4)
    reference = FrozenReference.of(vlm)
    rng = np.random.default_rng(0)
    for variable in vlm.trainable_variables:
        variable.assign(rng.normal(0, 0.3, variable.shape))
    assert np.abs(scored(vlm, x, y, mask) - expected).max() > 0.1
    found = keras.ops.convert_to_numpy(reference(x, y, mask))
    np.testing.assert_allclose(found, expected, atol=1e-4)
