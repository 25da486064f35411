"""Detectors of control maps, one per file. A map has exactly the height and width of its image."""
