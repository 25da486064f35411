"""Convert datasets of photos to anime. Start reading at `pipeline.flow`, which connects the steps."""
