"""Type aliases for objects of diffusers whose base classes do not declare the members that this project uses."""

from typing import Any, TypeAlias

DiffusionPipeline: TypeAlias = Any
"""A pipeline. The base class `diffusers.DiffusionPipeline` does not declare components such as `unet` and `vae`."""
Scheduler: TypeAlias = Any
"""A scheduler. The base class `diffusers.SchedulerMixin` does not declare methods such as `set_timesteps`."""
