"""The tiny vision-language model that comes with the package."""

import pathlib

import keras_hub

IMAGE_SIZE = 32  # that of Digit Scenes, whose builder is an extra
SEQUENCE_LENGTH = 32


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
        vit_patch_size=8,
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
