"""Several ControlNets as one, without the work that does not reach the picture.

diffusers runs every net at every step, multiplies what it says by 0 outside of its window, and lets it look at its map
anew each time. Here a net that is silent is not run, and a map is embedded once.
"""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from diffusers import ControlNetModel, MultiControlNetModel

from pipeline.diffusion.guidance import prompt_half

Residuals = tuple[list[torch.Tensor] | None, torch.Tensor | None]
"""What is added to the UNet's down blocks and to its middle; None where no net says anything."""


class MultiControlNet(MultiControlNetModel):  # type: ignore[misc]  # diffusers is half typed
    """Takes the place of diffusers' own class in its pipelines; `leave_out` and `embed_once` switch the gains on.

    The scale stays outside of the nets: a compiled one would keep the first that it saw.
    """

    def __init__(self, nets: list[ControlNetModel], *, leave_out: bool = True, embed_once: bool = True) -> None:
        super().__init__(nets)
        self._leave_out = leave_out
        self._embedded: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._turns: torch.device | None = None
        self.embeddings = torch.nn.ModuleDict()  # by the net's place, taken out of it
        for place, net in enumerate(nets):
            if embed_once and net.config.controlnet_conditioning_channel_order == "rgb":
                self.embeddings[str(place)] = net.controlnet_cond_embedding
                net.controlnet_cond_embedding = torch.nn.Identity()

    def take_turns(self, device: torch.device) -> None:
        """Stay on the host from now on, each net on `device` only while it speaks: for cards that cannot hold all."""
        self._turns = device

    def to(self, *given: Any, **named: Any) -> "MultiControlNet":  # noqa: ANN401 - as torch has it
        """Move or convert, as every module does; nets that take turns are converted alone."""
        if self._turns is None:
            return super().to(*given, **named)  # type: ignore[no-any-return]  # diffusers is half typed
        _, dtype, *_ = torch._C._nn._parse_to(*given, **named)  # noqa: SLF001 - Module.to's own reading of them
        self.embeddings.to(*given, **named)
        self.nets.to(dtype=dtype)
        return self

    def forget(self) -> None:
        """Drop the embedded maps of the last batch."""
        self._embedded.clear()

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, **arguments: Any) -> Residuals:  # noqa: ANN401 - diffusers' own
        """Return the sum of what the nets say; nothing where every net is silent.

        `sample` is [N, C, h, w]. Maps and prompts may be for 2 N, as with guidance: the last N of them count then.
        """
        arguments = prompt_half(len(sample), arguments)
        scales: list[float] = arguments.pop("conditioning_scale")
        maps: list[torch.Tensor] = arguments.pop("controlnet_cond")
        heard = [place for place, scale in enumerate(scales) if scale or not self._leave_out]
        if not heard and arguments.get("guess_mode"):
            heard = [0]  # diffusers adds to what it gets then, whatever it is
        down: list[torch.Tensor] | None = None
        middle: torch.Tensor | None = None
        for place in heard:
            own, own_middle = self._one(place, maps[place], sample, timestep, arguments)
            if down is None or middle is None:
                down, middle = [each * scales[place] for each in own], own_middle * scales[place]
            else:
                down = [torch.add(one, two, alpha=scales[place]) for one, two in zip(down, own, strict=True)]
                middle = torch.add(middle, own_middle, alpha=scales[place])
        return down, middle

    def _one(
        self, place: int, control: torch.Tensor, sample: torch.Tensor, timestep: torch.Tensor, arguments: dict[str, Any]
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return what one net says at scale 1."""
        seen = self._embed(place, control)[-len(sample) :]
        with _on(self._turns, self.nets[place]) if self._turns else contextlib.nullcontext():
            said: tuple[list[torch.Tensor], torch.Tensor] = self.nets[place](
                sample=sample, timestep=timestep, controlnet_cond=seen, conditioning_scale=1.0, **arguments
            )
        return said

    def _embed(self, place: int, control: torch.Tensor) -> torch.Tensor:
        """Return a map as its net takes it, [N, 320, h, w] in SD 1.5; the map itself where the net embeds it."""
        if str(place) not in self.embeddings:
            return control
        known = self._embedded.get(place)
        if known is None or known[0] is not control:
            known = self._embedded[place] = (control, self.embeddings[str(place)](control))
        return known[1]


@contextlib.contextmanager
def _on(device: torch.device, net: torch.nn.Module) -> Iterator[None]:
    """Hold a copy of a net's weights on a device for a while; those of the host stay where they are."""
    held = [(weight, weight.data) for weight in itertools.chain(net.parameters(), net.buffers())]
    with torch.inference_mode(mode=False):
        for weight, host in held:
            weight.data = host.to(device, copy=True)
    try:
        yield
    finally:
        for weight, host in held:
            weight.data = host
