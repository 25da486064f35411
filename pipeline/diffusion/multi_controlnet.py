"""Several ControlNets as one model, without computations that do not affect the image.

In diffusers, every ControlNet runs at every step, and embeds its control map each time. Before its start and after its
end, the result is multiplied by 0. Here, a ControlNet with scale 0 does not run (except one in guess mode), and each
map is embedded once.
"""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from diffusers import ControlNetModel, MultiControlNetModel

from pipeline.diffusion.guidance import prompt_half

Residuals = tuple[list[torch.Tensor] | None, torch.Tensor | None]
"""The tensors to add to the UNet's down blocks and to its middle block. None if no ControlNet runs."""


class MultiControlNet(MultiControlNetModel):  # type: ignore[misc]  # diffusers is only partly typed
    """Replaces `MultiControlNetModel` in the pipelines of diffusers.

    Each ControlNet runs with scale 1, and this class multiplies its residuals by the scale, because torch.compile would
    treat a scale that is passed to a ControlNet as a constant.

    Args:
        nets: The ControlNets, in the order of the recipe.
        leave_out: Skip ControlNets with scale 0.
        embed_once: Embed each control map once for all steps.
    """

    def __init__(self, nets: list[ControlNetModel], *, leave_out: bool = True, embed_once: bool = True) -> None:
        super().__init__(nets)
        self._leave_out = leave_out
        self._embedded: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # index -> map and its embedding
        self._offload_device: torch.device | None = None
        self.embeddings = torch.nn.ModuleDict()  # the embedding layers of the ControlNets, by index
        for index, net in enumerate(nets):
            if embed_once and net.config.controlnet_conditioning_channel_order == "rgb":
                self.embeddings[str(index)] = net.controlnet_cond_embedding
                net.controlnet_cond_embedding = torch.nn.Identity()

    def offload(self, device: torch.device) -> None:
        """Keep the ControlNets on the host, except their embedding layers. Copy each to the device while it runs."""
        self._offload_device = device

    def to(self, *args: Any, **kwargs: Any) -> "MultiControlNet":  # noqa: ANN401 - the arguments of Module.to
        """Move or convert the model. Of offloaded ControlNets, only the embedding layers are moved."""
        if self._offload_device is None:
            return super().to(*args, **kwargs)  # type: ignore[no-any-return]  # diffusers is only partly typed
        _, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)  # noqa: SLF001 - Module.to parses its arguments with it
        self.embeddings.to(*args, **kwargs)
        self.nets.to(dtype=dtype)
        return self

    def forget(self) -> None:
        """Delete the embedded maps of the last batch."""
        self._embedded.clear()

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, **arguments: Any) -> Residuals:  # noqa: ANN401 - the arguments of diffusers' class
        """Run the ControlNets, and add their scaled residuals.

        Args:
            sample: Latents, [N, C, h, w].
            timestep: The timestep of the scheduler.
            arguments: As in `MultiControlNetModel.forward`. After the end of guidance, maps and prompt embeddings
                still have 2 N rows, of which the last N are used, see `pipeline.diffusion.guidance`.

        Returns:
            The sums of the residuals. None for both if no ControlNet runs.
        """
        arguments = prompt_half(len(sample), arguments)
        scales: list[float] = arguments.pop("conditioning_scale")
        maps: list[torch.Tensor] = arguments.pop("controlnet_cond")
        active = [index for index, scale in enumerate(scales) if scale or not self._leave_out]
        if not active and arguments.get("guess_mode"):
            active = [0]  # in guess mode, the pipelines of diffusers fail without residuals
        down: list[torch.Tensor] | None = None
        middle: torch.Tensor | None = None
        for index in active:
            net_down, net_middle = self._run_controlnet(index, maps[index], sample, timestep, arguments)
            if down is None or middle is None:
                down, middle = [residual * scales[index] for residual in net_down], net_middle * scales[index]
            else:
                pairs = zip(down, net_down, strict=True)
                down = [torch.add(total, residual, alpha=scales[index]) for total, residual in pairs]
                middle = torch.add(middle, net_middle, alpha=scales[index])
        return down, middle

    def _run_controlnet(
        self,
        index: int,
        control_map: torch.Tensor,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        arguments: dict[str, Any],
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the residuals of one ControlNet at scale 1."""
        embedded = self._embed(index, control_map)[-len(sample) :]
        net, device = self.nets[index], self._offload_device
        with _weights_on(device, net) if device else contextlib.nullcontext():
            residuals: tuple[list[torch.Tensor], torch.Tensor] = net(
                sample=sample, timestep=timestep, controlnet_cond=embedded, conditioning_scale=1.0, **arguments
            )
        return residuals

    def _embed(self, index: int, control_map: torch.Tensor) -> torch.Tensor:
        """Return the embedding of a map, [N, 320, h, w] in SD 1.5, or the map itself if the ControlNet embeds it."""
        if str(index) not in self.embeddings:
            return control_map
        cached = self._embedded.get(index)
        if cached is None or cached[0] is not control_map:
            cached = self._embedded[index] = (control_map, self.embeddings[str(index)](control_map))
        return cached[1]


@contextlib.contextmanager
def _weights_on(device: torch.device, net: torch.nn.Module) -> Iterator[None]:
    """Replace the weights of a ControlNet by copies on a device, and restore those of the host at the end."""
    host_weights = [(weight, weight.data) for weight in itertools.chain(net.parameters(), net.buffers())]
    with torch.inference_mode(mode=False):
        for weight, data in host_weights:
            weight.data = data.to(device, copy=True)
    try:
        yield
    finally:
        for weight, data in host_weights:
            weight.data = data
