"""Stable Diffusion with several ControlNets: uint8 arrays in and out. Does not depend on rows or Ray."""
