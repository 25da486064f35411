"""The UNet, the nets and the decoder through torch's compiler, with its results kept for the next process.

Where the compiler fails the models go on as they are, and the reason is said.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from pipeline import storage

# What the compiler raises: of its own, of the C++ or CUDA compiler that it calls, and of what is not there.
SHAPES = 64  # that are compiled for; torch would take 8, and draw what is beyond it plainly without a word
_FAILS = (torch._dynamo.exc.TorchDynamoException, RuntimeError, OSError, ImportError)  # noqa: SLF001 - the only name of them


class Compiled:
    """The compiler over a pipeline's parts. `cache` is a folder's address; `said` is `yes`, or why it is off."""

    def __init__(self, pipes: list[Any], cache: str | None = None, backend: str = "inductor") -> None:
        self._pipes, self._backend = pipes, backend
        self._cache = cache and storage.join(cache, f"{_identity(pipes)}.torch")
        self._known: set[tuple[int, ...]] = set()
        self.seconds = 0.0  # that warming up took
        self.said = "yes"
        if self._cache and storage.exists(self._cache):
            torch.compiler.load_cache_artifacts(storage.read(self._cache))
        torch._dynamo.config.recompile_limit = SHAPES  # noqa: SLF001 - the only name of it
        for module in self._modules():
            module.compile(backend=backend, dynamic=False)  # a batch's shape is one of few, and kernels know it

    def warm_up(self, shape: tuple[int, ...], draw: Callable[[], object]) -> None:
        """Let the first batch of a shape be compiled by drawing it once; turn the compiler off where it fails.

        `shape` is all that tells a batch's tensors from another's.
        """
        if shape in self._known or self.said != "yes":
            return
        began = time.perf_counter()
        try:
            draw()
        except torch.OutOfMemoryError:
            raise
        except _FAILS as error:
            self._turn_off(error)
        self._known.add(shape)
        self.seconds += time.perf_counter() - began
        if self._cache and self.said == "yes":
            kept = torch.compiler.save_cache_artifacts()
            if kept is not None:
                storage.put(self._cache, kept[0])

    def _turn_off(self, error: BaseException) -> None:
        """Leave the models as they were, and say why."""
        for module in self._modules():
            module._compiled_call_impl = None  # noqa: SLF001 - what Module.compile sets
        torch.compiler.reset()
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        self.said = f"no: {type(error).__name__}: {' '.join(lines[:3])}"[:300]

    def _modules(self) -> Iterator[torch.nn.Module]:
        """Yield what is compiled: two pipelines share all but their nets."""
        first = self._pipes[0]
        yield from (first.unet, first.vae.decoder)
        for pipe in self._pipes:
            yield from pipe.controlnet.nets


def _identity(pipes: list[Any]) -> str:
    """Return what the compiler's results hold for: this torch, this device, models of these shapes."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    shapes = [[tuple(weight.shape) for weight in pipe.unet.parameters()] for pipe in pipes[:1]]
    nets = [len(pipe.controlnet.nets) for pipe in pipes]
    told = repr((torch.__version__, device, shapes, nets))
    return hashlib.sha256(told.encode()).hexdigest()[:24]
