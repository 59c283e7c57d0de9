"""Base of families whose encoder reads the prompt."""

import numpy as np
from keras import ops

from keras_byorn.vlm import packing
from keras_byorn.vlm.families.family import Family


class EncoderDecoder(Family):
    """Gives the prompt to the encoder, and the response to the decoder.

    Both rows of an example have one length, the longer of the two. A packed
    batch is a tuple of four arrays `(N, length)`: ids of the decoder (int32),
    1 on tokens of the response (int32), ids of the encoder (int32) and their
    padding mask (bool).
    """

    prompt_key = "encoder_text"

    def sequence_length(self, preprocessor):
        return min(
            preprocessor.encoder_sequence_length,
            preprocessor.decoder_sequence_length,
        )

    def encoder_row(self, preprocessor, prompt_ids):
        """Returns a prompt as `generate` gives it to the encoder, int32."""
        end = np.atleast_1d(preprocessor.encoder_packer.end_value)
        return np.concatenate([prompt_ids, end])

    def packed_length(self, preprocessor, prompt_ids, response_ids):
        start, _ = self._start_end(preprocessor)
        return max(
            len(self.encoder_row(preprocessor, prompt_ids)),
            len(start) + len(response_ids) + 1,
        )

    def pack(self, preprocessor, prompt_ids, response_ids, length):
        empty = [np.zeros(0, "int32")] * len(prompt_ids)
        packed = super().pack(preprocessor, empty, response_ids, length)
        return (*packed, *self._encoder_rows(preprocessor, prompt_ids, length))

    def num_tokens(self, packed):
        encoder_mask = packed[3]
        return np.maximum(super().num_tokens(packed), encoder_mask.sum(axis=-1))

    def training_text(self, packed):
        token_ids, in_response, encoder_ids, encoder_mask = packed
        return {
            "encoder_token_ids": encoder_ids,
            "encoder_padding_mask": encoder_mask,
            "decoder_token_ids": token_ids[:, :-1],
            "decoder_padding_mask": packing.up_to_last(in_response)[:, :-1],
        }

    def generation_text(self, preprocessor, prompt_ids, length):
        empty = [np.zeros(0, "int32")] * len(prompt_ids)
        decoder, starts = super().generation_text(preprocessor, empty, length)
        encoder = self._encoder_rows(preprocessor, prompt_ids, length)
        text = {
            "encoder_token_ids": encoder[0],
            "encoder_padding_mask": encoder[1],
            "decoder_token_ids": decoder["token_ids"],
            "decoder_padding_mask": decoder["padding_mask"],
        }
        return text, starts

    def generated_ids(self, outputs):
        return ops.convert_to_numpy(outputs["decoder_token_ids"])

    def _encoder_rows(self, preprocessor, prompt_ids, length):
        rows = [self.encoder_row(preprocessor, ids) for ids in prompt_ids]
        pad = preprocessor.tokenizer.pad_token_id
        return packing.rows_of(rows, length, pad)

    def _start_end(self, preprocessor):
        """Returns the ids that a decoder's row starts and ends with."""
        start = np.atleast_1d(preprocessor.decoder_packer.start_value)
        return start, preprocessor.tokenizer.end_token_id
