"""The models of a recipe: their requirements, files, checks, locked digests and mirrors."""
