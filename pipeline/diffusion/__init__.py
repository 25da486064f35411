"""Stable Diffusion with several ControlNets: uint8 arrays in and out. Knows nothing of rows, files of photos, or Ray."""
