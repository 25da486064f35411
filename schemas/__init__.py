"""What crosses a boundary: manifests, recipes, the columns between steps, and provenance."""
