"""Tiny Gemma, Gemma 3, Gemma 3n and Gemma 4 models with random weights."""

import keras_hub

from keras_byorn.vlm.tiny_models.pali_gemma import (
    IMAGE_SIZE,
    SEQUENCE_LENGTH,
    SIGLIP_PIXELS,
)
from keras_byorn.vlm.tiny_models.tokenizers import sentence_pieces

# Pieces that a vocabulary must have, beside the usual four.
GEMMA3_PIECES = (
    "<img>",
    "<start_of_image>",
    "<end_of_image>",
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
GEMMA4_PIECES = ("<|image>", "<|image|>", "<image|>", "<turn|>", "<|turn>")
# Blocks of the vision tower of Gemma 3n.
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
DECODER = {
    "num_layers": 1,
    "num_query_heads": 2,
    "num_key_value_heads": 1,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "head_dim": 8,
}
GEMMA3_DECODER = {
    **DECODER,
    "use_post_ffw_norm": True,
    "use_post_attention_norm": True,
    "use_sliding_window_attention": True,
    "sliding_window_size": 16,
}


def tiny_gemma3_vision_encoder(image_size=IMAGE_SIZE, **config):
    """Builds a tiny vision tower of Gemma 3, which T5Gemma 2 has as well.

    Args:
        image_size: int. Height and width of images, in pixels.
        **config: further arguments of `keras_hub.models.Gemma3VisionEncoder`,
            or others in place of the defaults here.
    """
    config = {
        "patch_size": 4,
        "pool_size": 2,
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "output_dim": 16,
        **config,
    }
    return keras_hub.models.Gemma3VisionEncoder(image_size=image_size, **config)


def tiny_gemma3(
    tokenizer_proto=None,
    image_size=IMAGE_SIZE,
    sequence_length=SEQUENCE_LENGTH,
    max_images_per_prompt=2,
    has_images=True,
    vision_config=None,
    dtype=None,
    **backbone_config,
):
    """Builds a `Gemma3CausalLM` with random weights, by default tiny.

    Args:
        tokenizer_proto: optional bytes. A serialized SentencePiece model with
            `GEMMA3_PIECES`. Defaults to `sentence_pieces()`.
        image_size: int. Height and width of images, in pixels.
        sequence_length: int. The most tokens of prompt and response, image
            placeholders included.
        max_images_per_prompt: int. The most images of one example.
        has_images: bool. `False` builds a model of text alone.
        vision_config: optional dict. Arguments of the vision tower, see
            `tiny_gemma3_vision_encoder()`.
        dtype: optional string or `keras.DTypePolicy`, of the backbone.
        **backbone_config: further arguments of the backbone, or others in
            place of `GEMMA3_DECODER`.

    Returns:
        A `keras_hub.models.Gemma3CausalLM` with its preprocessor.
    """
    if tokenizer_proto is None:
        tokenizer_proto = sentence_pieces((*GEMMA3_PIECES, "<start_of_turn>"))
    tokenizer = keras_hub.models.Gemma3Tokenizer(
        proto=tokenizer_proto, has_vision_tokens=has_images
    )
    encoder, converter, num_vision_tokens = None, None, 4
    if has_images:
        encoder = tiny_gemma3_vision_encoder(
            image_size, dtype=dtype, **(vision_config or {})
        )
        num_vision_tokens = encoder.num_vision_tokens_per_image
        converter = keras_hub.layers.Gemma3ImageConverter(
            image_size=(image_size, image_size), **SIGLIP_PIXELS
        )
    backbone = keras_hub.models.Gemma3Backbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        image_size=image_size,
        vision_encoder=encoder,
        dtype=dtype,
        **{**GEMMA3_DECODER, **backbone_config},
    )
    preprocessor = keras_hub.models.Gemma3CausalLMPreprocessor(
        tokenizer=tokenizer,
        image_converter=converter,
        sequence_length=sequence_length,
        max_images_per_prompt=max_images_per_prompt,
        num_vision_tokens_per_image=num_vision_tokens,
    )
    return keras_hub.models.Gemma3CausalLM(
        backbone=backbone, preprocessor=preprocessor
    )


def tiny_gemma3_text(**config):
    """Builds a tiny Gemma 3 without vision, as its 1B preset is."""
    return tiny_gemma3(has_images=False, **config)


def tiny_gemma3n():
    """Builds a tiny `Gemma3nCausalLM` of images and text, without audio."""
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
    backbone = keras_hub.models.Gemma3nBackbone(
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
    )
    preprocessor = keras_hub.models.Gemma3nCausalLMPreprocessor(
        tokenizer=tokenizer,
        image_converter=keras_hub.layers.Gemma3nImageConverter(
            image_size=(IMAGE_SIZE, IMAGE_SIZE), scale=1 / 255
        ),
        sequence_length=SEQUENCE_LENGTH,
        max_images_per_prompt=2,
        num_vision_tokens_per_image=4,
        max_audios_per_prompt=0,
        num_audio_tokens_per_audio=0,
    )
    return keras_hub.models.Gemma3nCausalLM(
        backbone=backbone, preprocessor=preprocessor
    )


def gemma4_image_converter():
    """Builds the image converter of the tiny Gemma 4.

    A preset saved by KerasHub 0.32 does not keep all of its arguments.
    """
    return keras_hub.layers.Gemma4ImageConverter(
        patch_size=4, max_soft_tokens=4, pooling_kernel_size=2, scale=1 / 255
    )


def tiny_gemma4():
    """Builds a tiny `Gemma4CausalLM` of images and text, without audio."""
    tokenizer = keras_hub.models.Gemma4Tokenizer(
        proto=sentence_pieces(GEMMA4_PIECES), has_video_tokens=False
    )
    vision_encoder = keras_hub.models.Gemma4VisionEncoder(
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
    )
    return keras_hub.models.Gemma4CausalLM(
        backbone=keras_hub.models.Gemma4Backbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            image_size=IMAGE_SIZE,
            sliding_window_size=16,
            vision_encoder=vision_encoder,
            **DECODER,
        ),
        preprocessor=keras_hub.models.Gemma4CausalLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=gemma4_image_converter(),
            sequence_length=SEQUENCE_LENGTH,
            max_images_per_prompt=2,
            num_vision_tokens_per_image=4,
        ),
    )


def tiny_gemma():
    """Builds a tiny `GemmaCausalLM`, which takes text alone."""
    tokenizer = keras_hub.models.GemmaTokenizer(proto=sentence_pieces())
    return keras_hub.models.GemmaCausalLM(
        backbone=keras_hub.models.GemmaBackbone(
            vocabulary_size=tokenizer.vocabulary_size(), **DECODER
        ),
        preprocessor=keras_hub.models.GemmaCausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH
        ),
    )
