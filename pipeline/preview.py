"""Run the steps of the flow in this process for a few photos, without Ray and without writing an output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.images.arrays import Pixels
from pipeline.models import checks
from pipeline.plan.plan import plan_photos
from pipeline.steps.chain import ChainSettings, fetch_step, photo_steps
from pipeline.steps.gpu_worker import available_device
from pipeline.steps.row_step import table_to_rows
from pipeline.storage import PUBLIC_SCHEMES
from pipeline.storage.limits import Access, ReadLimits
from schemas.recipe import Recipe
from schemas.row_parts import ControlMap, PaddingColumns
from schemas.work import Converted, Failed, Mapped, Planned

# The user named the photos on the command line, so local files and private addresses are allowed.
ACCESS = Access(PUBLIC_SCHEMES | {"file"}, ReadLimits(private_hosts=True))


@dataclass(frozen=True)
class PreviewRow:
    """The control maps and the image of one photo.

    Attributes:
        planned: The row of the plan.
        photo: The photo on the canvas, [H, W, 3], as the detectors receive it.
        padding: The padding of the canvas.
        maps: The control maps on the canvas.
        image: The image, at `enlargement` times the size of the canvas, or None if images are not generated.
        enlargement: The size of the image divided by the size of the canvas.
    """

    planned: Planned
    photo: Pixels
    padding: PaddingColumns
    maps: tuple[ControlMap, ...]
    image: Pixels | None
    enlargement: int


def preview_rows(
    photos: list[str], recipe: Recipe, *, cache: str | None, images: bool, note: Callable[[str], None]
) -> list[PreviewRow | Failed]:
    """Return the control maps of photos, and their images, in the order of the photos.

    Args:
        photos: Addresses of photos.
        recipe: The recipe.
        cache: Address of a folder of control maps.
        images: Whether to generate the images too.
        note: Called with a text for each detector whose maps are blank.

    Raises:
        RunError: Weights are missing.
    """
    # Compilation takes longer than the conversion of a few photos.
    recipe = recipe.model_copy(update={"compile": "off"} if images else {"mode": "maps"})
    blank = checks.check_models(recipe)
    for name in sorted(blank):
        note(f"no weights for {name}: its maps are blank")
    on_gpu = recipe.gpu_detectors - blank if available_device() == "cuda" else frozenset[str]()
    settings = ChainSettings(recipe, ACCESS, blank, on_gpu, map_cache=cache, keep_maps=True)
    table = fetch_step(settings.access)(plan_photos(photos, recipe))
    mapped: list[Mapped | Failed] = []
    for step in photo_steps(settings):
        if step.name == "encode":
            break
        table = step.create()(table)
        if step.name == "control maps":
            mapped = table_to_rows(table, Mapped)
    finished: Sequence[Mapped | Converted | Failed]
    finished = table_to_rows(table, Mapped) if recipe.mode == "maps" else table_to_rows(table, Converted)
    return [_preview(before, after, recipe) for before, after in zip(mapped, finished, strict=True)]


def _preview(mapped: Mapped | Failed, finished: Mapped | Converted | Failed, recipe: Recipe) -> PreviewRow | Failed:
    if isinstance(finished, Failed):
        return finished
    if isinstance(mapped, Failed):
        return mapped
    maps = tuple(control_map for control_map in finished.maps if control_map)
    image = finished.image if isinstance(finished, Converted) else None
    return PreviewRow(finished.planned, mapped.pixels, mapped.canvas.padding, maps, image, recipe.enlargement)
