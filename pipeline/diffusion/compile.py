"""Compilation of the UNet, the ControlNets and the VAE decoder, with a cache that later processes load.

If the compiler fails, the models run uncompiled.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from pipeline import storage
from pipeline.diffusion.adaptive_batch_size import is_out_of_memory
from pipeline.diffusion.types import DiffusionPipeline
from pipeline.errors import OutputError, StorageError

RECOMPILE_LIMIT = 4096
"""The maximum number of compilations of one function of a model.

torch compiles it again for each model object, each input shape, and for calls with and without ControlNets.

The default of torch is 8. Beyond its limit, torch runs the function uncompiled.
"""
# Errors of torch's compiler, of the C++ or CUDA compiler that it calls, and of missing packages.
_COMPILER_ERRORS = (torch._dynamo.exc.TorchDynamoException, RuntimeError, OSError, ImportError)  # noqa: SLF001 - it has no public name


class ModelCompiler:
    """Compiles the models of pipelines, and caches the results.

    The cache has one file for each combination of torch version, device, models, settings that affect the code, and
    batch shape, so that processes with different combinations write different files. Cached files are code: use only a
    folder that you trust as much as the program.

    Args:
        pipes: One or two pipelines that share all models except the ControlNets.
        cache: The address of the cache folder. None disables the cache.
        backend: The backend of `torch.compile`.

    Attributes:
        status: The text in provenance: `yes`, `yes, and not kept: REASON` if the cache cannot be written, or
            `no: REASON` if the compiler failed.
        seconds: The total time of the first batch of each shape, which compiles the models.
    """

    def __init__(
        self, pipes: list[DiffusionPipeline], cache: str | None = None, backend: str | Callable[..., Any] = "inductor"
    ) -> None:
        self._pipes, self._cache = pipes, cache
        self._prefix = _digest_models(pipes, list(self._modules()))
        self._cached = {name for name in storage.names(cache) if name.startswith(self._prefix)} if cache else set()
        self._compiled_shapes: set[object] = set()
        self._enabled = True
        self.seconds = 0.0
        self.status = "yes"
        for name in sorted(self._cached):
            torch.compiler.load_cache_artifacts(storage.read(storage.join(cache or "", name)))
        torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT  # noqa: SLF001 - it has no public name
        torch._dynamo.config.accumulated_recompile_limit = RECOMPILE_LIMIT  # noqa: SLF001 - it has no public name
        for module in self._modules():
            module.compile(backend=backend, dynamic=False)  # batches have few shapes, and fixed shapes are faster

    def warm_up(self, shape: tuple[object, ...], generate: Callable[[], object]) -> None:
        """Compile the models for the first batch of a shape. If the compiler fails, disable compilation.

        Args:
            shape: A hashable key of everything that the compiled code for this batch depends on. The file in the cache
                is named by a hash of its repr, which must be the same in every process.
            generate: A function that generates the batch, and so starts the compiler.
        """
        if shape in self._compiled_shapes or not self._enabled:
            return
        start = time.perf_counter()
        try:
            generate()
        except _COMPILER_ERRORS as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            self._disable(error)
        self._compiled_shapes.add(shape)
        self.seconds += time.perf_counter() - start
        if self._enabled:
            self._write_cache(f"{self._prefix}-{hashlib.sha256(repr(shape).encode()).hexdigest()[:16]}.torch")

    def _write_cache(self, name: str) -> None:
        """Write the compiled code to a file of the cache, if it is missing. If that fails, stop using the cache."""
        artifacts = torch.compiler.save_cache_artifacts() if self._cache and name not in self._cached else None
        if artifacts is None or not self._cache:
            return
        try:
            storage.put(storage.join(self._cache, name), artifacts[0])
        except (StorageError, OutputError) as error:
            self.status = f"yes, and not kept: {error}"[:300]
            self._cache = None

    def _disable(self, error: BaseException) -> None:
        """Restore the uncompiled models, and record the reason."""
        for module in self._modules():
            module._compiled_call_impl = None  # noqa: SLF001 - Module.compile sets it, and has no inverse
        torch.compiler.reset()
        self._enabled = False
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        self.status = f"no: {type(error).__name__}: {' '.join(lines[:3])}"[:300]

    def _modules(self) -> Iterator[torch.nn.Module]:
        first = self._pipes[0]
        yield from (first.unet, first.vae.decoder)
        for pipe in self._pipes:
            yield from pipe.controlnet.nets


def _digest_models(pipes: list[DiffusionPipeline], modules: list[torch.nn.Module]) -> str:
    """Return a digest of the torch version, device, weight shapes and dtypes, and attention classes."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    weights = [[(tuple(weight.shape), weight.dtype) for weight in module.parameters()] for module in modules]
    attention = sorted({type(processor).__name__ for processor in pipes[0].unet.attn_processors.values()})
    content = repr((torch.__version__, device, weights, attention))
    return hashlib.sha256(content.encode()).hexdigest()[:24]
