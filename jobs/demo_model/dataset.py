"""The training examples of the demo model: crops of photos and scenes, with cartoons, control maps and prompts."""

import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from jobs.demo_model import scenes
from jobs.demo_model.architecture import CONTROLNETS
from jobs.demo_model.cartoon import cartoonize
from jobs.demo_model.photos import fetch_photos, load_photos
from jobs.demo_model.scene_canvas import SIDE
from jobs.demo_model.scenes import Scene
from jobs.demo_model.vocabulary import PALETTES, random_prompt
from pipeline.detectors.canny import Canny
from pipeline.detectors.depth_map import depth_to_map
from pipeline.detectors.keypoints import person_from_keypoints
from pipeline.detectors.pose_drawing import draw_people
from schemas.detectors import CannySettings

# Each photo is loaded in two sizes: the lengths of its shorter side, in pixels. A crop of SIDE pixels shows nearly all
# of the smaller copy, and a detail of the larger one.
PHOTO_SIDES = (SIDE, 400)
PHOTO_SHARE = 0.4  # share of examples from photos; the others are from scenes
PHOTO_TARGET_SHARE = 0.12  # share of examples whose target is the photo, which teaches the word `photo`
PALETTE_SHARE = 0.35  # share of cartoons in another palette
BLANK_SHARE = 0.1  # share of control maps that are replaced by black, because a ControlNet must tolerate blank maps
CANNY_DETECTORS = [  # half of them with the thresholds of the recipes
    Canny(CannySettings(low=low, high=high)) for low, high in ((100, 200), (100, 200), (50, 150), (150, 250))
]

Pixels = NDArray[np.uint8]
"""[N, H, W, 3], RGB, 0..255."""


@dataclass(frozen=True)
class Batch:
    """Training examples of one size."""

    targets: Pixels  # images to generate
    photos: Pixels  # photos of the same contents
    is_cartoon: NDArray[np.bool_]  # [N]: the target is a cartoon
    maps: dict[str, Pixels]  # control maps by ControlNet
    prompts: list[str]


@dataclass(frozen=True)
class Examples:
    """All scenes, and all photos with their cartoons."""

    scenes: list[Scene]
    photos: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]  # photo and cartoon, [H, W, 3]
    seed: int = 0  # of the scenes

    @property
    def settings(self) -> dict[str, str | int]:
        """The settings that identify these examples in a checkpoint."""
        return {"seed": self.seed, "scenes": len(self.scenes), "photos": len(self.photos)}

    def batch(self, random: np.random.Generator, size: int, side: int, photo_share: float = PHOTO_SHARE) -> Batch:
        """Return a random batch.

        Args:
            random: Source of every choice.
            size: Number of examples.
            side: Width and height of the examples in pixels.
            photo_share: Probability that an example is from a photo, and not from a scene.
        """
        examples = [
            self._photo_example(random, side) if random.random() < photo_share else self._scene_example(random, side)
            for _ in range(size)
        ]
        targets, photos, is_cartoon, maps, prompts = zip(*examples, strict=True)
        stacked = {name: np.stack([maps_by_name[name] for maps_by_name in maps]) for name in CONTROLNETS}
        return Batch(np.stack(targets), np.stack(photos), np.array(is_cartoon), stacked, list(prompts))

    def _photo_example(self, random: np.random.Generator, side: int) -> "_Example":
        photo, cartoon = self.photos[random.integers(len(self.photos))]
        crop = _random_crop(random, photo.shape, side)
        photo, cartoon = photo[crop], cartoon[crop]
        if random.random() < 0.5:
            photo, cartoon = photo[:, ::-1], cartoon[:, ::-1]
        blank = np.zeros_like(photo)
        return _example(random, (photo, cartoon), {"openpose": blank, "depth": blank}, [])

    def _scene_example(self, random: np.random.Generator, side: int) -> "_Example":
        scene = self.scenes[random.integers(len(self.scenes))]
        crop = _random_crop(random, scene.photo.shape, side)
        people = [person_from_keypoints(keypoints) for keypoints in scene.people]
        pose = draw_people(people, SIDE, SIDE)[crop]
        maps = {
            "openpose": _randomly_blank(random, pose),
            "depth": _randomly_blank(random, depth_to_map(scene.depth[crop].astype(np.float32))),
        }
        return _example(random, (scene.photo[crop], scene.cartoon[crop]), maps, scene.words)


def load_examples(folder: Path, count: int, seed: int) -> Examples:
    """Render `count` scenes, and load the training photos, which are downloaded into `folder` when missing.

    This takes two minutes on two cores.
    """
    root = fetch_photos(folder)
    photos = [photo for side in PHOTO_SIDES for photo in load_photos(root, side)]
    first = seed * 1_000_000
    with multiprocessing.get_context("spawn").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        rendered = pool.map(scenes.random_scene, range(first, first + count), chunksize=16)
        return Examples(rendered, list(zip(photos, pool.map(cartoonize, photos), strict=True)), seed)


_Example = tuple[NDArray[np.uint8], NDArray[np.uint8], bool, dict[str, NDArray[np.uint8]], str]
"""One entry of each field of `Batch`."""


def _example(
    random: np.random.Generator,
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    maps: dict[str, NDArray[np.uint8]],
    words: list[str],
) -> _Example:
    """Choose the target, the Canny map and the prompt for a pair of a photo and its cartoon."""
    gain = random.uniform(0.8, 1.15)
    photo, cartoon = (_with_exposure(pixels, gain) for pixels in pair)
    canny = _randomly_blank(random, CANNY_DETECTORS[random.integers(len(CANNY_DETECTORS))](photo))
    maps = {"canny": canny, **maps}
    if random.random() < PHOTO_TARGET_SHARE:
        return photo, photo, False, maps, random_prompt(random, words, None, is_cartoon=False)
    palette = str(random.choice(list(PALETTES))) if random.random() < PALETTE_SHARE else None
    target = _with_palette(cartoon, palette) if palette else cartoon
    return target, photo, True, maps, random_prompt(random, words, palette, is_cartoon=True)


def _random_crop(random: np.random.Generator, shape: tuple[int, ...], side: int) -> tuple[slice, slice]:
    top, left = (int(random.integers(length - side + 1)) for length in shape[:2])
    return np.s_[top : top + side, left : left + side]


def _randomly_blank(random: np.random.Generator, control_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a control map, or with probability BLANK_SHARE a black one."""
    return np.zeros_like(control_map) if random.random() < BLANK_SHARE else control_map


def _with_exposure(pixels: NDArray[np.uint8], gain: float) -> NDArray[np.uint8]:
    exposed: NDArray[np.uint8] = np.rint((pixels * gain).clip(0, 255)).astype(np.uint8)
    return exposed


def _with_palette(pixels: NDArray[np.uint8], palette: str) -> NDArray[np.uint8]:
    colors = PALETTES[palette](pixels / 255)
    recolored: NDArray[np.uint8] = np.rint(colors.clip(0, 1) * 255).astype(np.uint8)
    return recolored
