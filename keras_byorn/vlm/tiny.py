"""The tiny vision-language model that comes with the package."""

import pathlib

import keras_hub

IMAGE_SIZE = 32  # that of Digit Scenes, whose builder is an extra
PATCH_SIZE = 8
SEQUENCE_LENGTH = 32

# Pieces that a Gemma 3 vocabulary must have, beside the usual four.
GEMMA3_PIECES = (
    "<img>",
    "<start_of_image>",
    "<end_of_image>",
    "<end_of_turn>",
)


def tiny_preset():
    """The folder of the bundled KerasHub preset, a tiny pretrained PaliGemma.

    It has fewer than a million parameters, reads 32 x 32 images and was
    pretrained on Digit Scenes; its own README gives recipe and figures.

    Returns:
        A string, for `keras_hub.models.PaliGemmaCausalLM.from_preset`.

    Example:

    >>> vlm = keras_hub.models.PaliGemmaCausalLM.from_preset(
    ...     keras_byorn.tiny_preset()
    ... )
    """
    folder = pathlib.Path(__file__).parent / "presets"
    return str(folder / "digit_scenes_pali_gemma")


def tiny_pali_gemma(tokenizer_proto):
    """A `PaliGemmaCausalLM` of the bundled preset's size, with new weights.

    Args:
        tokenizer_proto: bytes. A serialised SentencePiece model.

    Returns:
        A `keras_hub.models.PaliGemmaCausalLM`.
    """
    tokenizer = keras_hub.models.PaliGemmaTokenizer(proto=tokenizer_proto)
    backbone = keras_hub.models.PaliGemmaBackbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        image_size=IMAGE_SIZE,
        num_layers=3,
        num_query_heads=4,
        num_key_value_heads=1,
        hidden_dim=128,
        intermediate_dim=384,  # halved inside: one half gates the other
        head_dim=32,
        vit_patch_size=PATCH_SIZE,
        vit_num_heads=4,
        vit_hidden_dim=128,
        vit_num_layers=3,
        vit_intermediate_dim=256,
    )
    image_converter = keras_hub.layers.PaliGemmaImageConverter(
        image_size=(IMAGE_SIZE, IMAGE_SIZE), scale=1 / 127.5, offset=-1.0
    )
    preprocessor = keras_hub.models.PaliGemmaCausalLMPreprocessor(
        tokenizer=tokenizer,
        image_converter=image_converter,
        sequence_length=SEQUENCE_LENGTH,
    )
    return keras_hub.models.PaliGemmaCausalLM(
        backbone=backbone, preprocessor=preprocessor
    )


def tiny_gemma3(tokenizer_proto):
    """A `Gemma3CausalLM` about as large as the bundled preset.

    Args:
        tokenizer_proto: bytes. A serialised SentencePiece model that has
            `GEMMA3_PIECES`.

    Returns:
        A `keras_hub.models.Gemma3CausalLM` with new weights.
    """
    tokenizer = keras_hub.models.Gemma3Tokenizer(proto=tokenizer_proto)
    num_vision_tokens = (IMAGE_SIZE // PATCH_SIZE) ** 2
    backbone = keras_hub.models.Gemma3Backbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        image_size=IMAGE_SIZE,
        num_layers=3,
        num_query_heads=4,
        num_key_value_heads=1,
        hidden_dim=128,
        intermediate_dim=192,
        head_dim=32,
        use_post_ffw_norm=True,
        use_post_attention_norm=True,
        use_sliding_window_attention=True,
        vision_encoder=keras_hub.models.Gemma3VisionEncoder(
            image_size=IMAGE_SIZE,
            patch_size=PATCH_SIZE,
            pool_size=1,
            num_layers=3,
            num_heads=4,
            hidden_dim=128,
            intermediate_dim=256,
            output_dim=128,
        ),
    )
    preprocessor = keras_hub.models.Gemma3CausalLMPreprocessor(
        tokenizer=tokenizer,
        image_converter=keras_hub.layers.Gemma3ImageConverter(
            image_size=(IMAGE_SIZE, IMAGE_SIZE), scale=1 / 127.5, offset=-1.0
        ),
        # Its image stands in the text: so many tokens, and eight around them.
        sequence_length=SEQUENCE_LENGTH + num_vision_tokens + 8,
        max_images_per_prompt=1,
        num_vision_tokens_per_image=num_vision_tokens,
    )
    return keras_hub.models.Gemma3CausalLM(
        backbone=backbone, preprocessor=preprocessor
    )
