"""The UNet, the nets and the decoder through torch's compiler, with its results kept for the next process.

Where the compiler fails the models go on as they are, and the reason is said.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from pipeline import storage
from pipeline.diffusion.adaptive_batch_size import is_out_of_memory
from pipeline.errors import OutputError, StorageError

RECOMPILE_LIMIT = (
    4096  # of all shapes, parts and windows; torch would take 8, and draw what is beyond them without a word
)
# What the compiler raises: of its own, of the C++ or CUDA compiler that it calls, and of what is not there.
_FAILS = (torch._dynamo.exc.TorchDynamoException, RuntimeError, OSError, ImportError)  # noqa: SLF001 - the only name of them


class ModelCompiler:
    """The compiler over a pipeline's parts. `cache` is a folder's address; `said` is `yes`, or why it is off.

    The folder has a file for each shape of batches, of this torch, device and models: no process undoes another's.
    It holds code, so it must be as trusted as the program.
    """

    def __init__(self, pipes: list[Any], cache: str | None = None, backend: str = "inductor") -> None:
        self._pipes, self._backend, self._cache = pipes, backend, cache
        self._identity = _identity(pipes, list(self._modules()))
        self._kept = {name for name in storage.names(cache) if name.startswith(self._identity)} if cache else set()
        self._known: set[object] = set()
        self._on = True
        self.seconds = 0.0  # that warming up took
        self.said = "yes"
        for name in sorted(self._kept):
            torch.compiler.load_cache_artifacts(storage.read(storage.join(cache or "", name)))
        torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT  # noqa: SLF001 - the only name of it
        torch._dynamo.config.accumulated_recompile_limit = RECOMPILE_LIMIT  # noqa: SLF001 - likewise
        for module in self._modules():
            module.compile(backend=backend, dynamic=False)  # a batch's shape is one of few, and kernels know it

    def warm_up(self, shape: tuple[object, ...], draw: Callable[[], object]) -> None:
        """Let the first batch of a shape be compiled by drawing it once; turn the compiler off where it fails.

        `shape` is all that tells a batch's tensors from another's, and says the same in every process.
        """
        if shape in self._known or not self._on:
            return
        began = time.perf_counter()
        try:
            draw()
        except _FAILS as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            self._turn_off(error)
        self._known.add(shape)
        self.seconds += time.perf_counter() - began
        if self._on:
            self._keep(f"{self._identity}-{hashlib.sha256(repr(shape).encode()).hexdigest()[:16]}.torch")

    def _keep(self, name: str) -> None:
        """Put what was compiled for a shape where it is not yet; a folder that cannot be written stops nothing."""
        kept = torch.compiler.save_cache_artifacts() if self._cache and name not in self._kept else None
        if kept is None or not self._cache:
            return
        try:
            storage.put(storage.join(self._cache, name), kept[0])
        except (StorageError, OutputError) as fault:
            self.said = f"yes, and not kept: {fault}"[:300]
            self._cache = None

    def _turn_off(self, error: BaseException) -> None:
        """Leave the models as they were, and say why."""
        for module in self._modules():
            module._compiled_call_impl = None  # noqa: SLF001 - what Module.compile sets
        torch.compiler.reset()
        self._on = False
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        self.said = f"no: {type(error).__name__}: {' '.join(lines[:3])}"[:300]

    def _modules(self) -> Iterator[torch.nn.Module]:
        """Yield what is compiled: two pipelines share all but their nets."""
        first = self._pipes[0]
        yield from (first.unet, first.vae.decoder)
        for pipe in self._pipes:
            yield from pipe.controlnet.nets


def _identity(pipes: list[Any], modules: list[torch.nn.Module]) -> str:
    """Return what the compiler's results hold for: this torch and device, models of these shapes and this attention."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    weights = [[(tuple(weight.shape), weight.dtype) for weight in module.parameters()] for module in modules]
    attention = sorted({type(processor).__name__ for processor in pipes[0].unet.attn_processors.values()})
    told = repr((torch.__version__, device, weights, attention))
    return hashlib.sha256(told.encode()).hexdigest()[:24]
