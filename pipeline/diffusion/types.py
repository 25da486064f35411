"""Type aliases for diffusers objects that share no common base class."""

from typing import Any, TypeAlias

DiffusionPipeline: TypeAlias = Any
"""A pipeline of diffusers: its classes have the same components, but no common typed base class."""
Scheduler: TypeAlias = Any
"""A scheduler of diffusers: its classes have the same methods, but no common typed base class."""
