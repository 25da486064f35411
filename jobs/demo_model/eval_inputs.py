"""The inputs of the evaluation: photos, skeletons and depth maps that the demo model was not trained on."""

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
from pipeline.plan.listing import list_photos

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png")
SEED = 77_000_000  # far from the seeds of the training scenes
LEAST_EDGES = 0.01  # smallest share of edge pixels in a photo
LEAST_PHOTOS = 2  # each photo is compared with another one
SHIFT = 48  # pixels between the two positions of a skeleton

Mask = NDArray[np.bool_]
"""[H, W]."""


def evaluation_photos(folder: str | None) -> list[Pixels]:
    """Load photos of scikit-image, or those of a folder that have enough edges, cropped to SIDE x SIDE pixels.

    Raises:
        ManifestError: A photo of the folder cannot be decoded, or fewer than two have enough edges.
    """
    if folder is None:
        return [_square(str(files("skimage").joinpath("data", name))) for name in PHOTOS]
    photos = [_square(uri) for uri in list_photos(folder)["uri"].to_pylist()]
    usable = [photo for photo in photos if metrics.edges(photo).mean() >= LEAST_EDGES]
    if len(usable) < LEAST_PHOTOS:
        message = f"{storage.redact(folder)}: {len(usable)} of {len(photos)} have enough edges, {LEAST_PHOTOS} needed"
        raise ManifestError(message, "Add photos with more detail.")
    return usable


@dataclass(frozen=True)
class PersonMap:
    """An OpenPose map and the region that the body should fill."""

    pose: Pixels
    body: Mask


def person_maps(number: int) -> tuple[PersonMap, PersonMap]:
    """Return a person of medium height, and the same person shifted to the right by SHIFT pixels."""
    random = np.random.default_rng(SEED + number)
    height = float(random.uniform(150, 215))
    feet = np.array([SIDE / 2 - SHIFT / 2, SIDE * 0.96])
    skeleton = scene_people.random_skeleton(random, height, feet)
    shifted = {name: point + np.array([SHIFT, 0]) for name, point in skeleton.items()}
    return _person_map(skeleton, height), _person_map(shifted, height)


@dataclass(frozen=True)
class DiscMap:
    """A depth map of two overlapping discs in front of a background, and its regions."""

    depth: Pixels
    near: Mask  # the near disc
    background: Mask
    visible_rim: Mask  # the part of the near disc's rim that is in front of the far disc
    hidden_rim: Mask  # the part of the far disc's rim that the near disc hides


def disc_map(number: int) -> DiscMap:
    """Return two overlapping discs at a random position."""
    random = np.random.default_rng(SEED + number)
    middle, angle = random.uniform(96, 160, 2), random.uniform(0, 2 * np.pi)
    offset = 32 * np.array([np.cos(angle), np.sin(angle)])
    far, near = _disc(middle - offset, random.uniform(46, 60)), _disc(middle + offset, random.uniform(46, 60))
    depth = np.zeros((SIDE, SIDE), np.uint8)
    depth[far], depth[near] = 120, 255
    # Smaller discs, so that the masks of the rims do not contain the points where the two rims cross.
    inner_far, inner_near = _shrink(far, 6), _shrink(near, 6)
    pixels = depth[:, :, None].repeat(3, axis=2)
    return DiscMap(pixels, near, depth == 0, _rim(near) & inner_far, _rim(far) & inner_near)


def _disc(center: NDArray[np.float64], radius: float) -> Mask:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside: Mask = np.hypot(columns - center[0], rows - center[1]) < radius
    return inside


def _rim(mask: Mask) -> Mask:
    return mask & ~_shrink(mask, 1)


def _shrink(mask: Mask, pixels: int) -> Mask:
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0


def _person_map(skeleton: scene_people.Skeleton, height: float) -> PersonMap:
    keypoints = scene_people.coco_keypoints(skeleton, SIDE)
    pose = draw_people([person_from_keypoints(keypoints)], SIDE, SIDE)
    return PersonMap(pose, scene_people.body_mask(skeleton, height, SIDE))


def _square(uri: str) -> Pixels:
    try:
        image = read_upright(storage.read(uri))
    except ImageError as error:
        raise ManifestError(f"{storage.redact(uri)}: {error}", "Remove it from the folder.") from error
    transform = crop_transform(image.size, (SIDE, SIDE), "crop", np.empty((0, 2)))
    return np.array(transform.apply(image, Image.Resampling.LANCZOS))
