"""The way of a photo, one file a step; `pipeline.flow` is the page to begin with."""
