"""Stable Diffusion with several ControlNets: uint8 arrays in and out. Knows nothing of rows or Ray."""
