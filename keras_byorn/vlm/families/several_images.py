"""What families have in common that read any number of images."""

import numpy as np
from keras import ops

from keras_byorn.vlm import packing
from keras_byorn.vlm.families.family import Family


class SeveralImages(Family):
    """From no image to `max_images_per_prompt`, each where its token stands.

    A token in the prompt becomes `num_vision_tokens_per_image` placeholders,
    whose embeddings the task replaces by the image's.
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
        """pair of ints. Size of an image that is not there."""
        return preprocessor.image_converter.image_size

    def stack_images(self, preprocessor, images):
        """An array `(B, M, H, W, 3)`; images that are not there are black."""
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
            **self.shown(preprocessor, images, mask),
            "vision_mask": mask,
            # The task puts back what stood at the first position, a start
            # token, after it wrote images that are not there over it.
            "vision_indices": packing.positions(mask, width),
        }

    def converted(self, preprocessor, images, mask=None):
        batch, most = images.shape[:2]
        flat = images.reshape(batch * most, *images.shape[2:])
        flat = ops.convert_to_numpy(preprocessor.image_converter(flat))
        return {"images": flat.reshape(batch, most, *flat.shape[1:])}
