"""Text in; tokenizer folders and grown checkpoints out."""
