"""Tiny tasks of every family, with random weights, saved and loaded.

Shared by the tests and by `examples/vlm_contract_table.py`. `TINY` maps a
name to a function without arguments that makes the task.
"""

import functools
import io
import string

import keras
import keras_hub
import numpy as np
import sentencepiece

IMAGE_SIZE = 16
SEQUENCE_LENGTH = 40
COLOURS = "red green blue yellow purple white".split()
DIGITS = "one two three four five six seven eight nine".split()
OTHERS = "what colour is the left right digit describe image where".split()
WORDS = COLOURS + DIGITS + OTHERS

SIGLIP = {"image_size": (IMAGE_SIZE, IMAGE_SIZE), "scale": 1 / 127.5}
SIGLIP["offset"] = -1.0
GEMMA3_PIECES = (
    "<img>",
    "<start_of_image>",
    "<end_of_image>",
    "<start_of_turn>",
    "<end_of_turn>",
)
GEMMA3N_PIECES = (
    "<image_soft_token>",
    "<audio_soft_token>",
    "<start_of_image>",
    "<end_of_image>",
    "<start_of_audio>",
    "<end_of_audio>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<mask>",
    "[multimodal]",
)
EDGE_RESIDUAL = {
    "block_types": "er",
    "num_filters": 8,
    "strides": 2,
    "act_layers": "gelu",
    "exp_ratios": 1.0,
    "se_ratios": 0.0,
    "dw_kernel_sizes": 0,
    "dw_start_kernel_sizes": 0,
    "dw_end_kernel_sizes": 0,
    "exp_kernel_sizes": 3,
    "pw_kernel_sizes": 1,
    "num_heads": 0,
    "key_dims": 0,
    "value_dims": 0,
    "kv_strides": 0,
    "use_cpe": False,
}
GEMMA4_PIECES = ("<|image>", "<|image|>", "<image|>", "<turn|>", "<|turn>")


@functools.cache
def sentence_pieces(extra=(), **names):
    """A SentencePiece model: a token for each of `WORDS`, and letters."""
    proto = io.BytesIO()
    names = {
        "pad_piece": "<pad>",
        "eos_piece": "<eos>",
        "bos_piece": "<bos>",
        "unk_piece": "<unk>",
        **names,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(
            [f"{a} {b}" for a in WORDS for b in WORDS]
            + [f"what {word} is\n" for word in WORDS]
        ),
        model_writer=proto,
        model_type="unigram",
        vocab_size=100,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        required_chars=string.ascii_lowercase,
        user_defined_symbols=["\n", *extra],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
        **names,
    )
    return proto.getvalue()


def byte_pairs(*special):
    """Vocabulary and merges of a byte-level BPE: letters, and `WORDS`."""
    letters = ["Ġ", "Ċ", *string.ascii_lowercase, *"?!.,<>|_/"]
    merges, pieces = [], []
    for word in WORDS:
        for left, right in zip(
            ["Ġ" + word[:i] for i in range(len(word))], word
        ):
            if (left, right) not in merges:
                merges.append((left, right))
                pieces.append(left + right)
    tokens = dict.fromkeys([*special, *letters, *pieces])
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return vocabulary, [" ".join(pair) for pair in merges]


def pali_gemma(**more):
    tokenizer = keras_hub.models.PaliGemmaTokenizer(proto=sentence_pieces())
    return keras_hub.models.PaliGemmaCausalLM(
        backbone=keras_hub.models.PaliGemmaBackbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            image_size=IMAGE_SIZE,
            num_layers=1,
            num_query_heads=2,
            num_key_value_heads=1,
            hidden_dim=16,
            intermediate_dim=32,
            head_dim=8,
            vit_patch_size=8,
            vit_num_heads=2,
            vit_hidden_dim=16,
            vit_num_layers=1,
            vit_intermediate_dim=32,
            **more,
        ),
        preprocessor=keras_hub.models.PaliGemmaCausalLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=keras_hub.layers.PaliGemmaImageConverter(**SIGLIP),
            sequence_length=SEQUENCE_LENGTH,
        ),
    )


def pali_gemma2():
    return pali_gemma(
        use_post_ffw_norm=True,
        use_post_attention_norm=True,
        final_logit_soft_cap=30.0,
        attention_logit_soft_cap=50.0,
        use_sliding_window_attention=True,
        sliding_window_size=16,
    )


def gemma3_vision_encoder(pool_size=2, **more):
    return keras_hub.models.Gemma3VisionEncoder(
        image_size=IMAGE_SIZE,
        patch_size=4,
        pool_size=pool_size,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        output_dim=16,
        **more,
    )


def gemma3(has_images=True, dtype=None):
    tokenizer = keras_hub.models.Gemma3Tokenizer(
        proto=sentence_pieces(GEMMA3_PIECES), has_vision_tokens=has_images
    )
    converter = keras_hub.layers.Gemma3ImageConverter(**SIGLIP)
    encoder = gemma3_vision_encoder(dtype=dtype) if has_images else None
    return keras_hub.models.Gemma3CausalLM(
        backbone=keras_hub.models.Gemma3Backbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            image_size=IMAGE_SIZE,
            num_layers=1,
            num_query_heads=2,
            num_key_value_heads=1,
            hidden_dim=16,
            intermediate_dim=32,
            head_dim=8,
            use_post_ffw_norm=True,
            use_post_attention_norm=True,
            use_sliding_window_attention=True,
            sliding_window_size=16,
            vision_encoder=encoder,
            dtype=dtype,
        ),
        preprocessor=keras_hub.models.Gemma3CausalLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=converter if has_images else None,
            sequence_length=SEQUENCE_LENGTH,
            max_images_per_prompt=2,
            num_vision_tokens_per_image=4,
        ),
    )


def gemma3_text():
    return gemma3(has_images=False)


def gemma3n():
    tokenizer = keras_hub.models.Gemma3nTokenizer(
        proto=sentence_pieces(GEMMA3N_PIECES)
    )
    size = tokenizer.vocabulary_size()
    vision_encoder = keras_hub.models.MobileNetV5Backbone(
        **{
            f"stackwise_{name}": [[value], [value]]
            for name, value in EDGE_RESIDUAL.items()
        },
        stackwise_num_blocks=[1, 1],
        num_features=4,
        use_msfa=False,
        image_shape=(IMAGE_SIZE, IMAGE_SIZE, 3),
    )
    return keras_hub.models.Gemma3nCausalLM(
        backbone=keras_hub.models.Gemma3nBackbone(
            text_vocab_size=size,
            text_hidden_size=16,
            num_hidden_layers=1,
            pad_token_id=0,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            intermediate_size=[32],
            hidden_activation="gelu_approximate",
            layer_types=["full_attention"],
            sliding_window=16,
            rope_theta=10000.0,
            max_position_embeddings=SEQUENCE_LENGTH,
            vocab_size_per_layer_input=size,
            hidden_size_per_layer_input=4,
            altup_num_inputs=2,
            laurel_rank=2,
            vision_encoder_config=vision_encoder.get_config(),
            vision_hidden_size=8,
            vision_vocab_size=8,
            vision_vocab_offset=size,
            vision_soft_tokens_per_image=4,
            image_token_id=tokenizer.token_to_id("<image_soft_token>"),
            audio_token_id=tokenizer.token_to_id("<audio_soft_token>"),
        ),
        preprocessor=keras_hub.models.Gemma3nCausalLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=keras_hub.layers.Gemma3nImageConverter(
                image_size=(IMAGE_SIZE, IMAGE_SIZE), scale=1 / 255
            ),
            sequence_length=SEQUENCE_LENGTH,
            max_images_per_prompt=2,
            num_vision_tokens_per_image=4,
            max_audios_per_prompt=0,
            num_audio_tokens_per_audio=0,
        ),
    )


def gemma4_image_converter():
    return keras_hub.layers.Gemma4ImageConverter(
        patch_size=4, max_soft_tokens=4, pooling_kernel_size=2, scale=1 / 255
    )


def gemma4():
    tokenizer = keras_hub.models.Gemma4Tokenizer(
        proto=sentence_pieces(GEMMA4_PIECES), has_video_tokens=False
    )
    return keras_hub.models.Gemma4CausalLM(
        backbone=keras_hub.models.Gemma4Backbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            image_size=IMAGE_SIZE,
            num_layers=1,
            num_query_heads=2,
            num_key_value_heads=1,
            hidden_dim=16,
            intermediate_dim=32,
            head_dim=8,
            sliding_window_size=16,
            vision_encoder=keras_hub.models.Gemma4VisionEncoder(
                image_size=IMAGE_SIZE,
                patch_size=4,
                pool_size=2,
                num_layers=1,
                num_heads=2,
                num_key_value_heads=2,
                head_dim=8,
                hidden_dim=16,
                intermediate_dim=32,
                output_dim=16,
                position_embedding_size=8,
            ),
        ),
        preprocessor=keras_hub.models.Gemma4CausalLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=gemma4_image_converter(),
            sequence_length=SEQUENCE_LENGTH,
            max_images_per_prompt=2,
            num_vision_tokens_per_image=4,
        ),
    )


def _blip2_backbone(language_model):
    return keras_hub.models.BLIP2Backbone(
        vision_encoder=keras_hub.models.BLIP2VisionEncoder(
            image_size=IMAGE_SIZE,
            patch_size=8,
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            use_patch_bias=True,
            use_class_token=True,
            use_mha_bias=True,
            use_mlp_bias=True,
            dropout_rate=0.0,
            layer_norm_epsilon=1e-5,
            initializer_range=0.02,
        ),
        qformer=keras_hub.models.BLIP2QFormer(
            num_query_tokens=4,
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            vision_dim=16,
            cross_attention_frequency=2,
            dropout=0.0,
            layer_norm_epsilon=1e-5,
        ),
        language_model=language_model,
    )


def blip2_opt():
    vocabulary, merges = byte_pairs("<s>", "<pad>", "</s>", "Ċ", "<image>")
    tokenizer = keras_hub.models.BLIP2OPTTokenizer(
        vocabulary=vocabulary, merges=merges
    )
    return keras_hub.models.BLIP2CausalLM(
        backbone=_blip2_backbone(
            keras_hub.models.BLIP2CustomOPT(
                vocabulary_size=len(vocabulary),
                num_layers=1,
                num_heads=2,
                hidden_dim=16,
                intermediate_dim=32,
                num_query_tokens=4,
                qformer_hidden_dim=16,
                max_sequence_length=2 * SEQUENCE_LENGTH,
                dropout=0.0,
            )
        ),
        preprocessor=keras_hub.models.BLIP2CausalLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=keras_hub.layers.BLIP2ImageConverter(
                image_size=(IMAGE_SIZE, IMAGE_SIZE)
            ),
            sequence_length=SEQUENCE_LENGTH,
        ),
    )


def blip2_t5():
    tokenizer = keras_hub.models.BLIP2FlanT5Tokenizer(
        proto=sentence_pieces(eos_piece="</s>")
    )
    return keras_hub.models.BLIP2Seq2SeqLM(
        backbone=_blip2_backbone(
            keras_hub.models.BLIP2FlanT5(
                vocabulary_size=tokenizer.vocabulary_size(),
                num_layers=1,
                num_heads=2,
                hidden_dim=16,
                intermediate_dim=32,
                key_value_dim=8,
                num_query_tokens=4,
                qformer_hidden_dim=16,
                dropout=0.0,
            )
        ),
        preprocessor=keras_hub.models.BLIP2Seq2SeqLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=keras_hub.layers.BLIP2ImageConverter(
                image_size=(IMAGE_SIZE, IMAGE_SIZE)
            ),
            encoder_sequence_length=SEQUENCE_LENGTH,
            decoder_sequence_length=SEQUENCE_LENGTH,
        ),
    )


def t5gemma2():
    tokenizer = keras_hub.models.T5Gemma2Tokenizer(
        proto=sentence_pieces(GEMMA3N_PIECES)
    )
    return keras_hub.models.T5Gemma2Seq2SeqLM(
        backbone=keras_hub.models.T5Gemma2Backbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            encoder_hidden_dim=16,
            encoder_intermediate_dim=32,
            encoder_num_layers=1,
            encoder_num_attention_heads=2,
            encoder_num_key_value_heads=1,
            encoder_head_dim=8,
            encoder_layer_types=["full_attention"],
            decoder_hidden_dim=16,
            decoder_intermediate_dim=32,
            decoder_num_layers=1,
            decoder_num_attention_heads=2,
            decoder_num_key_value_heads=1,
            decoder_head_dim=8,
            decoder_layer_types=["full_attention"],
            sliding_window=16,
            vision_encoder=gemma3_vision_encoder(pool_size=4),
            eoi_token_index=tokenizer.token_to_id("<end_of_image>"),
        ),
        preprocessor=keras_hub.models.T5Gemma2Seq2SeqLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=keras_hub.layers.T5Gemma2ImageConverter(**SIGLIP),
            image_size=IMAGE_SIZE,
            num_vision_tokens_per_image=1,
            encoder_sequence_length=SEQUENCE_LENGTH,
            decoder_sequence_length=SEQUENCE_LENGTH,
        ),
    )


def gemma():
    tokenizer = keras_hub.models.GemmaTokenizer(proto=sentence_pieces())
    return keras_hub.models.GemmaCausalLM(
        backbone=keras_hub.models.GemmaBackbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            num_layers=1,
            num_query_heads=2,
            num_key_value_heads=1,
            hidden_dim=16,
            intermediate_dim=32,
            head_dim=8,
        ),
        preprocessor=keras_hub.models.GemmaCausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH
        ),
    )


def llama3():
    vocabulary, merges = byte_pairs(
        "!",
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    )
    tokenizer = keras_hub.models.Llama3Tokenizer(
        vocabulary=vocabulary, merges=merges
    )
    return keras_hub.models.Llama3CausalLM(
        backbone=keras_hub.models.Llama3Backbone(
            vocabulary_size=len(vocabulary),
            num_layers=1,
            num_query_heads=2,
            num_key_value_heads=1,
            hidden_dim=16,
            intermediate_dim=32,
        ),
        preprocessor=keras_hub.models.Llama3CausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH
        ),
    )


def qwen():
    vocabulary, merges = byte_pairs("!", "<|endoftext|>")
    tokenizer = keras_hub.models.QwenTokenizer(
        vocabulary=vocabulary, merges=merges
    )
    return keras_hub.models.QwenCausalLM(
        backbone=keras_hub.models.QwenBackbone(
            vocabulary_size=len(vocabulary),
            num_layers=1,
            num_query_heads=2,
            num_key_value_heads=1,
            hidden_dim=16,
            intermediate_dim=32,
        ),
        preprocessor=keras_hub.models.QwenCausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH
        ),
    )


def qwen3_5():
    vocabulary, merges = byte_pairs(
        "!", "<|im_end|>", "<|endoftext|>", "<|im_start|>"
    )
    tokenizer = keras_hub.models.Qwen3_5Tokenizer(
        vocabulary=vocabulary, merges=merges, has_vision_tokens=False
    )
    return keras_hub.models.Qwen3_5CausalLM(
        backbone=keras_hub.models.Qwen3_5Backbone(
            vocabulary_size=len(vocabulary),
            num_layers=2,
            num_query_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            hidden_dim=16,
            intermediate_dim=32,
            layer_types=["linear_attention", "full_attention"],
            linear_num_key_heads=2,
            linear_num_value_heads=2,
            linear_key_head_dim=8,
            linear_value_head_dim=8,
            partial_rotary_factor=0.5,
        ),
        preprocessor=keras_hub.models.Qwen3_5CausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH
        ),
    )


TINY = {
    "PaliGemma": pali_gemma,
    "PaliGemma 2": pali_gemma2,
    "Gemma 3": gemma3,
    "Gemma 3, text only": gemma3_text,
    "Gemma 3n": gemma3n,
    "Gemma 4": gemma4,
    "BLIP-2 OPT": blip2_opt,
    "BLIP-2 Flan-T5": blip2_t5,
    "T5Gemma 2": t5gemma2,
    "Gemma": gemma,
    "Llama 3": llama3,
    "Qwen": qwen,
}

# Known, and refused with the reason.
REFUSED = {"Qwen 3.5": qwen3_5}

# What `enable_lora` needs to be told, where its defaults match no layer.
LORA_NAMES = {
    "Gemma 3n": ["q_proj", "v_proj"],
    # The defaults would adapt its eyes alone.
    "BLIP-2 Flan-T5": ["query_projector", "value_projector"],
}


def scramble(task, seed=0):
    """Large weights drawn by NumPy: the same on every backend, and wordy."""
    rng = np.random.default_rng(seed)
    # Backends differ in the order of a model's variables.
    for variable in sorted(task.backbone.variables, key=lambda v: v.path):
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            shape = tuple(variable.shape)
            if len(shape) > 1:
                values = rng.normal(0, 0.4, shape)
            else:
                values = keras.ops.convert_to_numpy(variable)
                values = values + rng.normal(0, 0.1, shape)
            variable.assign(values)


def preset(name, folder):
    """Saves a tiny task of a family; returns its class and the folder."""
    keras.utils.set_random_seed(0)
    task = {**TINY, **REFUSED}[name]()
    scramble(task)
    task.save_to_preset(str(folder))
    return type(task), str(folder)


def load(task_class, folder):
    """The task of a preset, in a state that is the same each time."""
    keras.utils.set_random_seed(1)
    task = task_class.from_preset(folder)
    if task_class is keras_hub.models.Gemma4CausalLM:
        # The preset forgets two of the converter's arguments.
        task.preprocessor.image_converter = gemma4_image_converter()
    return task
