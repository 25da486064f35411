"""What the demo model is measured on: photos, people and depths that it was not trained on."""

from dataclasses import dataclass
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jobs.demo_model import metrics, scene_people
from jobs.demo_model.scene_canvas import SIDE
from pipeline import storage
from pipeline.detectors.keypoints import person_from_keypoints
from pipeline.detectors.pose_drawing import draw_people
from pipeline.errors import ImageError, ManifestError
from pipeline.images.arrays import Pixels
from pipeline.images.geometry import crop_transform
from pipeline.images.photo import read_upright
from pipeline.plan.manifest import list_photos

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png")
SEED = 77_000_000  # far from the seeds of training's scenes
FEWEST_EDGES = 0.01  # share of a photo's pixels
SHIFT = 48  # pixels by which a skeleton is moved

Mask = NDArray[np.bool_]
"""[H, W]."""


def photos(folder: str | None) -> list[Pixels]:
    """Return scikit-image's natural photos, or those of a folder, cropped to SIDE x SIDE; none with hardly an edge.

    Raises `ManifestError` for a folder with fewer than two such photos: each is compared with another one.
    """
    if folder is None:
        return [_square(str(files("skimage").joinpath("data", name))) for name in PHOTOS]
    listed = [_square(uri) for uri in list_photos(folder)["uri"].to_pylist()]
    edgy = [photo for photo in listed if metrics.edges(photo).mean() >= FEWEST_EDGES]
    if len(edgy) < 2:  # noqa: PLR2004 - a photo and another one
        message = f"{storage.redact(folder)}: {len(edgy)} of {len(listed)} photos have edges to compare, two are needed"
        raise ManifestError(message, "Put other photos beside them.")
    return edgy


@dataclass(frozen=True)
class Person:
    """An OpenPose map, and where the person that it asks for stands."""

    pose: Pixels
    covered: Mask


def standing(number: int) -> tuple[Person, Person]:
    """Return a person of middle height, and the same one moved to the other half of the picture."""
    random = np.random.default_rng(SEED + number)
    height = float(random.uniform(150, 215))
    feet = np.array([SIDE / 2 - SHIFT / 2, SIDE * 0.96])
    skeleton = scene_people.random_skeleton(random, height, feet)
    moved = {name: point + np.array([SHIFT, 0]) for name, point in skeleton.items()}
    return _person(skeleton, height), _person(moved, height)


@dataclass(frozen=True)
class Discs:
    """A depth map of two overlapping discs before the sky, and where each thing is."""

    depth: Pixels
    nearer: Mask
    sky: Mask
    in_front: Mask  # the nearer one's rim before the farther one: to be drawn
    hidden: Mask  # the farther one's rim behind the nearer one: not to be drawn


def discs(number: int) -> Discs:
    """Return two discs anywhere in the picture."""
    random = np.random.default_rng(SEED + number)
    middle, turn = random.uniform(96, 160, 2), random.uniform(0, 2 * np.pi)
    apart = 32 * np.array([np.cos(turn), np.sin(turn)])
    far, near = _disc(middle - apart, random.uniform(46, 60)), _disc(middle + apart, random.uniform(46, 60))
    depth = np.zeros((SIDE, SIDE), np.uint8)
    depth[far], depth[near] = 120, 255
    inner = _shrunk(far, 6), _shrunk(near, 6)  # rims near the crossings belong to both
    shown = depth[:, :, None].repeat(3, axis=2)
    return Discs(shown, near, depth == 0, _rim(near) & inner[0], _rim(far) & inner[1])


def _disc(center: NDArray[np.float64], radius: float) -> Mask:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside: Mask = np.hypot(columns - center[0], rows - center[1]) < radius
    return inside


def _rim(mask: Mask) -> Mask:
    return mask & ~_shrunk(mask, 1)


def _shrunk(mask: Mask, pixels: int) -> Mask:
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0


def _person(skeleton: scene_people.Skeleton, height: float) -> Person:
    found = scene_people.keypoints(skeleton, SIDE)
    return Person(draw_people([person_from_keypoints(found)], SIDE, SIDE), scene_people.covered(skeleton, height, SIDE))


def _square(uri: str) -> Pixels:
    try:
        image = read_upright(storage.read(uri))
    except ImageError as error:
        message = f"{storage.redact(uri)}: {error}"
        raise ManifestError(message, "Take it out of the folder.") from error
    square = crop_transform(image.size, (SIDE, SIDE), "crop", np.empty((0, 2)))
    return np.array(square.apply(image, Image.Resampling.LANCZOS))
