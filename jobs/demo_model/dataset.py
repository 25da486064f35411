"""What the demo model is shown: crops of photos and scenes, with their drawings, control maps and prompts."""

import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from jobs.demo_model import scenes
from jobs.demo_model.architecture import NETS
from jobs.demo_model.cartoon import cartoon
from jobs.demo_model.photos import fetch_photos, load_photos
from jobs.demo_model.scene_canvas import SIDE
from jobs.demo_model.scenes import Scene
from jobs.demo_model.vocabulary import PALETTES, prompt
from pipeline.detectors.canny import Canny
from pipeline.detectors.depth_map import depth_to_map
from pipeline.detectors.keypoints import person_from_keypoints
from pipeline.detectors.pose_drawing import draw_people
from schemas.detectors import CannySettings

PHOTO_SIDES = (SIDE, 400)  # of a photo's shorter side: whole things, and details
PHOTOS = 0.4  # share of examples that are photos; the others are scenes
PHOTOGRAPHED = 0.12  # share of examples that keep the photo: what the word `photo` means
PALETTED = 0.35  # share of drawings in another palette
BLANK = 0.1  # share of maps that are black though there is something to show
CANNIES = [  # mostly with the thresholds of the recipes
    Canny(CannySettings(low=low, high=high)) for low, high in ((100, 200), (100, 200), (50, 150), (150, 250))
]

Pixels = NDArray[np.uint8]
"""[N, H, W, 3], RGB, 0..255."""


@dataclass(frozen=True)
class Batch:
    """Examples of one size."""

    targets: Pixels  # what to draw
    photos: Pixels  # what it was photographed as
    drawn: NDArray[np.bool_]  # [N]: the target is a drawing
    maps: dict[str, Pixels]  # by net
    prompts: list[str]


@dataclass(frozen=True)
class Examples:
    """All scenes, and all photos with their drawings."""

    scenes: list[Scene]
    photos: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]  # photo and drawing, [H, W, 3]
    seed: int = 0  # of the scenes

    @property
    def made_of(self) -> dict[str, str | int]:
        """What tells these examples from others."""
        return {"seed": self.seed, "scenes": len(self.scenes), "photos": len(self.photos)}

    def batch(self, random: np.random.Generator, size: int, side: int, photo_share: float = PHOTOS) -> Batch:
        """Return `size` examples of `side` x `side` pixels; `photo_share` of them are no scenes."""
        made = [
            self._photo(random, side) if random.random() < photo_share else self._scene(random, side)
            for _ in range(size)
        ]
        targets, photos, drawn, maps, prompts = zip(*made, strict=True)
        stacked = {name: np.stack([each[name] for each in maps]) for name in NETS}
        return Batch(np.stack(targets), np.stack(photos), np.array(drawn), stacked, list(prompts))

    def _photo(self, random: np.random.Generator, side: int) -> "_Example":
        photo, drawing = self.photos[random.integers(len(self.photos))]
        crop = _crop(random, photo.shape, side)
        photo, drawing = photo[crop], drawing[crop]
        if random.random() < 0.5:
            photo, drawing = photo[:, ::-1], drawing[:, ::-1]
        nothing = np.zeros_like(photo)
        return _example(random, (photo, drawing), {"openpose": nothing, "depth": nothing}, [])

    def _scene(self, random: np.random.Generator, side: int) -> "_Example":
        scene = self.scenes[random.integers(len(self.scenes))]
        crop = _crop(random, scene.photo.shape, side)
        people = [person_from_keypoints(person) for person in scene.people]
        pose = draw_people(people, SIDE, SIDE)[crop]
        maps = {
            "openpose": _sometimes(random, pose),
            "depth": _sometimes(random, depth_to_map(scene.depth[crop].astype(np.float32))),
        }
        return _example(random, (scene.photo[crop], scene.drawn[crop]), maps, scene.words)


def load_examples(folder: Path, count: int, seed: int) -> Examples:
    """Return `count` scenes and the photos of Debian's package, fetched into `folder`; two minutes of two cores."""
    root = fetch_photos(folder)
    photos = [photo for side in PHOTO_SIDES for photo in load_photos(root, side)]
    first = seed * 1_000_000
    with multiprocessing.get_context("spawn").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        drawn = pool.map(scenes.random_scene, range(first, first + count), chunksize=16)
        return Examples(drawn, list(zip(photos, pool.map(cartoon, photos), strict=True)), seed)


_Example = tuple[NDArray[np.uint8], NDArray[np.uint8], bool, dict[str, NDArray[np.uint8]], str]


def _example(
    random: np.random.Generator,
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    maps: dict[str, NDArray[np.uint8]],
    words: list[str],
) -> _Example:
    """Choose what is drawn of a photo and its drawing, and say it in words."""
    photo, drawing = (_exposed(each, gain) for gain in [random.uniform(0.8, 1.15)] for each in pair)
    canny = _sometimes(random, CANNIES[random.integers(len(CANNIES))](photo))
    maps = {"canny": canny, **maps}
    if random.random() < PHOTOGRAPHED:
        return photo, photo, False, maps, prompt(random, words, None, drawn=False)
    palette = str(random.choice(list(PALETTES))) if random.random() < PALETTED else None
    target = _recolored(drawing, palette) if palette else drawing
    return target, photo, True, maps, prompt(random, words, palette, drawn=True)


def _crop(random: np.random.Generator, shape: tuple[int, ...], side: int) -> tuple[slice, slice]:
    top, left = (int(random.integers(length - side + 1)) for length in shape[:2])
    return np.s_[top : top + side, left : left + side]


def _sometimes(random: np.random.Generator, drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a map, or a black one: a net must bear that there is nothing to show."""
    return np.zeros_like(drawn) if random.random() < BLANK else drawn


def _exposed(pixels: NDArray[np.uint8], gain: float) -> NDArray[np.uint8]:
    exposed: NDArray[np.uint8] = np.rint((pixels * gain).clip(0, 255)).astype(np.uint8)
    return exposed


def _recolored(pixels: NDArray[np.uint8], palette: str) -> NDArray[np.uint8]:
    """Return a drawing in another palette."""
    colors = PALETTES[palette](pixels / 255)
    recolored: NDArray[np.uint8] = np.rint(colors.clip(0, 1) * 255).astype(np.uint8)
    return recolored
