"""Base of families that read any number of images."""

import numpy as np
from keras import ops

from keras_byorn.vlm import packing
from keras_byorn.vlm.families.family import Family


class SeveralImages(Family):
    """Reads up to M images, each in place of its token in the prompt.

    M is the preprocessor's `max_images_per_prompt`. A token becomes
    `num_vision_tokens_per_image` placeholders, whose embeddings the task
    replaces by those of the image. Stacked images are `(B, M, H, W, 3)`,
    their inputs `vision_mask`, bool, `(B, T)`, and `vision_indices`, int32,
    `(B, M * num_vision_tokens_per_image)`.
    """

    raw_pixel_range = (0.0, 255.0)
    vision_layer = "vision_encoder"
    image_axis = True

    def num_images(self, preprocessor):
        most = preprocessor.max_images_per_prompt
        return (0, most if self.reads_images(preprocessor) else 0)

    def image_placeholder_id(self, preprocessor):
        return preprocessor.tokenizer.image_placeholder_id

    def image_size(self, preprocessor):
        """Returns the size of a missing image, a pair of ints."""
        return preprocessor.image_converter.image_size

    def stack_images(self, preprocessor, images):
        """Stacks images to `(B, M, H, W, 3)`; missing ones are black."""
        if not self.reads_images(preprocessor):
            return super().stack_images(preprocessor, images)
        given = [image for own in images for image in own]
        most = preprocessor.max_images_per_prompt
        if given:
            size, dtype = given[0].shape[:2], np.result_type(*given)
        else:
            size, dtype = self.image_size(preprocessor), "uint8"
        stacked = np.zeros((len(images), most, *size, 3), dtype)
        for row, own in enumerate(images):
            for column, image in enumerate(own):
                stacked[row, column] = image
        return stacked

    def image_inputs(self, preprocessor, images, text):
        if not self.reads_images(preprocessor):
            return {}
        mask = text["token_ids"] == self.image_placeholder_id(preprocessor)
        width = images.shape[1] * preprocessor.num_vision_tokens_per_image
        return {
            **self.converted_or_embedded(preprocessor, images, mask),
            "vision_mask": mask,
            # Missing images are written to the first position, whose start
            # token the task restores afterwards.
            "vision_indices": packing.positions(mask, width),
        }

    def converted(self, preprocessor, images, mask=None):
        batch, most = images.shape[:2]
        flat = images.reshape(batch * most, *images.shape[2:])
        flat = ops.convert_to_numpy(preprocessor.image_converter(flat))
        return {"images": flat.reshape(batch, most, *flat.shape[1:])}
