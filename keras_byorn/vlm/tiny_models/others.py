"""Tiny BLIP-2, T5Gemma 2, Llama, Mistral and Qwen models, random weights."""

import keras_hub

from keras_byorn.vlm.tiny_models.gemma import (
    GEMMA3N_PIECES,
    tiny_gemma3_vision_encoder,
)
from keras_byorn.vlm.tiny_models.pali_gemma import (
    IMAGE_SIZE,
    SEQUENCE_LENGTH,
    SIGLIP_PIXELS,
)
from keras_byorn.vlm.tiny_models.tokenizers import byte_pairs, sentence_pieces

TRANSFORMER = {
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
}
GROUPED_DECODER = {
    "num_layers": 1,
    "num_query_heads": 2,
    "num_key_value_heads": 1,
    "hidden_dim": 16,
    "intermediate_dim": 32,
}
# Of the SentencePiece models of Llama 2 and Mistral.
SPELLED = {"bos_piece": "<s>", "eos_piece": "</s>"}


def _blip2_backbone(language_model):
    return keras_hub.models.BLIP2Backbone(
        vision_encoder=keras_hub.models.BLIP2VisionEncoder(
            image_size=IMAGE_SIZE,
            patch_size=8,
            use_patch_bias=True,
            use_class_token=True,
            use_mha_bias=True,
            use_mlp_bias=True,
            dropout_rate=0.0,
            layer_norm_epsilon=1e-5,
            initializer_range=0.02,
            **TRANSFORMER,
        ),
        qformer=keras_hub.models.BLIP2QFormer(
            num_query_tokens=4,
            vision_dim=16,
            cross_attention_frequency=2,
            dropout=0.0,
            layer_norm_epsilon=1e-5,
            **TRANSFORMER,
        ),
        language_model=language_model,
    )


def _blip2_image_converter():
    return keras_hub.layers.BLIP2ImageConverter(
        image_size=(IMAGE_SIZE, IMAGE_SIZE)
    )


def tiny_blip2_opt():
    """Builds a tiny `BLIP2CausalLM` with OPT."""
    vocabulary, merges = byte_pairs("<s>", "<pad>", "</s>", "Ċ", "<image>")
    tokenizer = keras_hub.models.BLIP2OPTTokenizer(
        vocabulary=vocabulary, merges=merges
    )
    language_model = keras_hub.models.BLIP2CustomOPT(
        vocabulary_size=len(vocabulary),
        num_query_tokens=4,
        qformer_hidden_dim=16,
        max_sequence_length=2 * SEQUENCE_LENGTH,
        dropout=0.0,
        **TRANSFORMER,
    )
    return keras_hub.models.BLIP2CausalLM(
        backbone=_blip2_backbone(language_model),
        preprocessor=keras_hub.models.BLIP2CausalLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=_blip2_image_converter(),
            sequence_length=SEQUENCE_LENGTH,
        ),
    )


def tiny_blip2_t5():
    """Builds a tiny `BLIP2Seq2SeqLM` with Flan-T5."""
    tokenizer = keras_hub.models.BLIP2FlanT5Tokenizer(
        proto=sentence_pieces(eos_piece="</s>")
    )
    language_model = keras_hub.models.BLIP2FlanT5(
        vocabulary_size=tokenizer.vocabulary_size(),
        key_value_dim=8,
        num_query_tokens=4,
        qformer_hidden_dim=16,
        dropout=0.0,
        **TRANSFORMER,
    )
    return keras_hub.models.BLIP2Seq2SeqLM(
        backbone=_blip2_backbone(language_model),
        preprocessor=keras_hub.models.BLIP2Seq2SeqLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=_blip2_image_converter(),
            encoder_sequence_length=SEQUENCE_LENGTH,
            decoder_sequence_length=SEQUENCE_LENGTH,
        ),
    )


def tiny_t5gemma2():
    """Builds a tiny `T5Gemma2Seq2SeqLM`, whose encoder takes an image."""
    tokenizer = keras_hub.models.T5Gemma2Tokenizer(
        proto=sentence_pieces(GEMMA3N_PIECES)
    )
    transformer = {
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "num_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "layer_types": ["full_attention"],
    }
    return keras_hub.models.T5Gemma2Seq2SeqLM(
        backbone=keras_hub.models.T5Gemma2Backbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            sliding_window=16,
            vision_encoder=tiny_gemma3_vision_encoder(pool_size=4),
            eoi_token_index=tokenizer.token_to_id("<end_of_image>"),
            **{f"encoder_{key}": value for key, value in transformer.items()},
            **{f"decoder_{key}": value for key, value in transformer.items()},
        ),
        preprocessor=keras_hub.models.T5Gemma2Seq2SeqLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=keras_hub.layers.T5Gemma2ImageConverter(
                image_size=(IMAGE_SIZE, IMAGE_SIZE), **SIGLIP_PIXELS
            ),
            image_size=IMAGE_SIZE,
            num_vision_tokens_per_image=1,
            encoder_sequence_length=SEQUENCE_LENGTH,
            decoder_sequence_length=SEQUENCE_LENGTH,
        ),
    )


def tiny_llama():
    """Builds a tiny `LlamaCausalLM`, as of Llama 2, which takes text alone."""
    tokenizer = keras_hub.models.LlamaTokenizer(
        proto=sentence_pieces(**SPELLED)
    )
    return keras_hub.models.LlamaCausalLM(
        backbone=keras_hub.models.LlamaBackbone(
            vocabulary_size=tokenizer.vocabulary_size(), **GROUPED_DECODER
        ),
        preprocessor=keras_hub.models.LlamaCausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH
        ),
    )


def tiny_mistral():
    """Builds a tiny `MistralCausalLM`, which takes text alone."""
    proto = sentence_pieces(**SPELLED)
    tokenizer = keras_hub.models.MistralTokenizer(proto=proto)
    return keras_hub.models.MistralCausalLM(
        backbone=keras_hub.models.MistralBackbone(
            vocabulary_size=tokenizer.vocabulary_size(), **GROUPED_DECODER
        ),
        preprocessor=keras_hub.models.MistralCausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH
        ),
    )


def tiny_llama3():
    """Builds a tiny `Llama3CausalLM`, which takes text alone."""
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
            vocabulary_size=len(vocabulary), **GROUPED_DECODER
        ),
        preprocessor=keras_hub.models.Llama3CausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH
        ),
    )


def tiny_qwen():
    """Builds a tiny `QwenCausalLM`, which takes text alone."""
    vocabulary, merges = byte_pairs("!", "<|endoftext|>")
    tokenizer = keras_hub.models.QwenTokenizer(
        vocabulary=vocabulary, merges=merges
    )
    return keras_hub.models.QwenCausalLM(
        backbone=keras_hub.models.QwenBackbone(
            vocabulary_size=len(vocabulary), **GROUPED_DECODER
        ),
        preprocessor=keras_hub.models.QwenCausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH
        ),
    )


def tiny_qwen3_5():
    """Builds a tiny `Qwen3_5CausalLM` of text alone."""
    vocabulary, merges = byte_pairs(
        "!", "<|im_end|>", "<|endoftext|>", "<|im_start|>"
    )
    tokenizer = keras_hub.models.Qwen3_5Tokenizer(
        vocabulary=vocabulary, merges=merges, has_vision_tokens=False
    )
    return keras_hub.models.Qwen3_5CausalLM(
        backbone=keras_hub.models.Qwen3_5Backbone(
            vocabulary_size=len(vocabulary),
            **{**GROUPED_DECODER, "num_layers": 2},
            head_dim=8,
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
