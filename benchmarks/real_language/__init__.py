"""A real pretrained language model, fine-tuned on captions."""
