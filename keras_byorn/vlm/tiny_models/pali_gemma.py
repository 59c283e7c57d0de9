"""Tiny PaliGemma models with random weights."""

import keras_hub

from keras_byorn.vlm.tiny_models.tokenizers import sentence_pieces

IMAGE_SIZE = 16
SEQUENCE_LENGTH = 40
# Scale and offset from bytes to [-1, 1].
SIGLIP_PIXELS = {"scale": 1 / 127.5, "offset": -1.0}


def tiny_pali_gemma(
    tokenizer_proto=None,
    image_size=IMAGE_SIZE,
    sequence_length=SEQUENCE_LENGTH,
    **backbone_config,
):
    """Builds a `PaliGemmaCausalLM` with random weights, by default tiny.

    Args:
        tokenizer_proto: optional bytes. A serialized SentencePiece model. By
            default one of a few words, see `sentence_pieces()`.
        image_size: int. Height and width of images, in pixels.
        sequence_length: int. The most tokens of prompt and response.
        **backbone_config: further arguments of
            `keras_hub.models.PaliGemmaBackbone`, or others in place of the
            defaults here.

    Returns:
        A `keras_hub.models.PaliGemmaCausalLM` with its preprocessor, which
        takes images of bytes.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> vlm = tiny_pali_gemma(num_layers=2)
    """
    proto = tokenizer_proto or sentence_pieces()
    tokenizer = keras_hub.models.PaliGemmaTokenizer(proto=proto)
    config = {
        "vocabulary_size": tokenizer.vocabulary_size(),
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
        **backbone_config,
    }
    return keras_hub.models.PaliGemmaCausalLM(
        backbone=keras_hub.models.PaliGemmaBackbone(
            image_size=image_size, **config
        ),
        preprocessor=keras_hub.models.PaliGemmaCausalLMPreprocessor(
            tokenizer=tokenizer,
            image_converter=keras_hub.layers.PaliGemmaImageConverter(
                image_size=(image_size, image_size), **SIGLIP_PIXELS
            ),
            sequence_length=sequence_length,
        ),
    )


def tiny_pali_gemma2(**config):
    """Builds a tiny PaliGemma 2. See `tiny_pali_gemma()` for its arguments."""
    return tiny_pali_gemma(
        **{
            "use_post_ffw_norm": True,
            "use_post_attention_norm": True,
            "final_logit_soft_cap": 30.0,
            "attention_logit_soft_cap": 50.0,
            "use_sliding_window_attention": True,
            "sliding_window_size": 16,
            **config,
        }
    )
