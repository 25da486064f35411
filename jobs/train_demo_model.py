"""Train the demo model: `python -m jobs.train_demo_model --work FOLDER`.

Photos and scenes in; checkpoints, sample sheets and at last the model out, all below FOLDER. Stopped at any moment, the
same command goes on from its last checkpoint. On two cores a step of the first stage took 0.2 s, one of the second 0.7
to 1 s, about two hours in all; a GPU is used where there is one.
"""

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from jobs.app import in_one_line

AUTOENCODER_STEPS = 3000
STEPS = 8000
SCENES = 1600
SEED = 2026


def train(
    work: Annotated[Path, typer.Option(help="Where photos, checkpoints, sample sheets and the model are kept.")],
    *,
    autoencoder_steps: Annotated[int, typer.Option(min=1)] = AUTOENCODER_STEPS,
    steps: Annotated[int, typer.Option(min=1, help="Of the UNet, its nets and the text encoder.")] = STEPS,
    scenes: Annotated[int, typer.Option(min=1, help="How many scenes to draw.")] = SCENES,
    seed: Annotated[int, typer.Option(min=0)] = SEED,
    compiled: Annotated[bool, typer.Option(help="Compile the networks: five minutes, then 1.5 times as fast.")] = True,
) -> None:
    """Train the demo model, and write it to FOLDER/demo_model."""
    if compiled and shutil.which(os.environ.get("CXX", "g++").split()[0]) is None:
        message = "no C++ compiler on this machine: install g++, or say --no-compiled"
        raise typer.BadParameter(message)
    import torch

    from jobs.training import architecture
    from jobs.training.autoencoder import autoencoder_stage, set_scale
    from jobs.training.denoiser import Trainer, denoiser_stage
    from jobs.training.examples import load_examples

    device = "cuda" if torch.cuda.is_available() else "cpu"
    examples = load_examples(work, scenes, seed)
    typer.echo(f"{len(examples.scenes)} scenes, {len(examples.photos)} photos and details, on {device}")
    torch.manual_seed(seed)
    coder = architecture.autoencoder().to(device, memory_format=torch.channels_last)
    first = autoencoder_stage(coder, examples, autoencoder_steps, seed, device).run(work, typer.echo)
    set_scale(coder, examples, seed, device)
    torch.manual_seed(seed)
    networks = architecture.networks()
    networks.trained.to(device).to(memory_format=torch.channels_last)
    if compiled:
        for network in (networks.unet, *networks.nets.values()):
            network.compile(dynamic=False)
    second = denoiser_stage(Trainer(coder, networks, examples, device), steps, seed).run(work, typer.echo)
    architecture.save(work / "demo_model", coder, networks)
    typer.echo(f"{work / 'demo_model'}: autoencoder {first}, denoiser {second}")


if __name__ == "__main__":
    in_one_line(partial(typer.run, train))
