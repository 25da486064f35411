"""Render one scene into three layers at once: a cartoon, a photo and a depth map.

The depth layer is a depth buffer: a polygon that is rendered later does not cover nearer ones.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256  # pixels of a rendered scene
SCALE = 2  # supersampling factor, which smooths the edges
LINE = 3  # width of a cartoon outline, in supersampled pixels
INK = (24, 20, 28)
SHADOW = 0.72  # brightness of the side that faces away from the light
HAZE = 0.45  # share of the sky's colour in the colour of the farthest shape

Color = tuple[float, float, float]
"""RGB, 0..255."""

Points = NDArray[np.float64]
"""[n, 2], or [2] for a single point: x and y in pixels of the rendered scene."""

Layer = NDArray[np.float32]
"""[H, W] or [H, W, 3]."""


@dataclass
class Canvas:
    """The layers of a scene during rendering, at SCALE times its size.

    Args:
        random: Source of the light's direction, the shading and the textures.
        sky: Colour of the background.
    """

    random: np.random.Generator
    sky: Color
    cartoon: Layer = field(init=False)  # [H, W, 3], 0..255
    photo: Layer = field(init=False)  # [H, W, 3], 0..255, not clipped
    depth: Layer = field(init=False)  # [H, W], 0 (far) .. 1 (near)

    def __post_init__(self) -> None:
        side = SIDE * SCALE
        self.cartoon = np.full((side, side, 3), self.sky, np.float32)
        self.photo = self.cartoon.copy()
        self.depth = np.zeros((side, side), np.float32)
        self._light = _unit_vector(self.random.uniform(-2.6, -0.5))  # points to the light: up, and to the left or right
        self._grain = self.random.normal(0, 1, (side, side)).astype(np.float32)
        self._clouds = _smooth_noise(self.random, side)

    def depth_above_ground(self, foot: Points, depth: float) -> float:
        """Return `depth`, or the depth of the ground at an object's foot if that is nearer and would hide the object.

        Args:
            foot: Lowest point of the object, [2], in pixels of the rendered scene.
            depth: Preferred depth, 0 (far) .. 1 (near).
        """
        column, row = np.clip(np.rint(foot * SCALE).astype(int), 0, SIDE * SCALE - 1)
        return max(depth, float(self.depth[row, column]))

    def polygon(self, points: Points, color: Color, depth: float, *, slope: float = 0.0, outline: bool = True) -> None:
        """Render a filled polygon.

        Args:
            points: Corners of the polygon.
            color: Fill colour, before haze and shading.
            depth: Depth of the polygon's middle, 0 (far) .. 1 (near).
            slope: Depth at the lower end minus depth at the upper end. For a floor, it is positive.
            outline: Whether the cartoon shows an outline.
        """
        scaled = np.rint(points * SCALE * 16).astype(np.int32)
        filled, edge = (np.zeros(self.depth.shape, np.uint8) for _ in range(2))
        cv2.fillPoly(filled, [scaled], 1, cv2.LINE_8, shift=4)
        if outline:
            cv2.polylines(edge, [scaled], isClosed=True, color=1, thickness=LINE, lineType=cv2.LINE_8, shift=4)
        area = _bounding_box(filled | edge)
        rows = np.linspace(-0.5, 0.5, filled[area].shape[0], dtype=np.float32)[:, None]
        depths = np.clip(depth + slope * rows, 0.02, 1) * np.ones_like(self.depth[area])  # [h, w]
        inside = (filled[area] > 0) & (depths >= self.depth[area])
        self._fill(area, inside, np.array(color) + (np.array(self.sky) - color) * HAZE * (1 - depth))
        self.depth[area][inside] = depths[inside]
        self.cartoon[area][(edge[area] > 0) & (depths >= self.depth[area])] = INK

    def line(self, points: Points, width: float, depth: float, color: Color = INK) -> None:
        """Render an open line, such as a mouth, on a shape of this depth."""
        scaled = np.rint(points * SCALE * 16).astype(np.int32)
        mask = np.zeros(self.depth.shape, np.uint8)
        cv2.polylines(mask, [scaled], isClosed=False, color=1, thickness=max(1, round(width * SCALE)), shift=4)
        visible = (mask > 0) & (np.float32(depth) >= self.depth)
        self.cartoon[visible] = self.photo[visible] = color

    def render(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the cartoon [H, W, 3], the photo [H, W, 3] and the depth map [H, W] (255 is nearest) of size SIDE."""
        size = (SIDE, SIDE)
        cartoon = cv2.resize(self.cartoon, size, interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(cv2.resize(self.photo, size, interpolation=cv2.INTER_AREA), (0, 0), self._blur())
        noisy = blurred + self.random.normal(0, self.random.uniform(1, 6), blurred.shape)
        depth = self.depth[::SCALE, ::SCALE] * 255  # not averaged: an edge has no depth between its two sides
        return tuple(np.rint(np.clip(layer, 0, 255)).astype(np.uint8) for layer in (cartoon, noisy, depth))  # type: ignore[return-value]  # three of them

    def _blur(self) -> float:
        return float(self.random.uniform(0.3, 0.9))

    def _fill(self, area: tuple[slice, slice], inside: NDArray[np.bool_], color: NDArray[np.float64]) -> None:
        """Fill an area: flat in the cartoon (most shapes have a hard shadow), shaded and textured in the photo."""
        height, width = inside.shape
        self.cartoon[area][inside] = color
        self._shade(area, inside, color, min(width, height))
        rows = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
        columns = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
        shading = 1 + self.random.uniform(0.2, 0.6) * (self._light[0] * columns + self._light[1] * rows)  # [h, w]
        texture = self.random.uniform(0, 10) * self._grain[area] + self.random.uniform(0, 13) * self._clouds[area]
        faded = color + (color.mean() - color) * 0.25  # photos have less chroma than cartoons
        self.photo[area][inside] = (faded * shading[:, :, None] + texture[:, :, None])[inside]

    def _shade(
        self, area: tuple[slice, slice], inside: NDArray[np.bool_], color: NDArray[np.float64], size: int
    ) -> None:
        """Darken the part of a cartoon shape that a copy of the shape, moved towards the light, does not cover."""
        is_background = inside.shape[1] == self.depth.shape[1]  # floors and walls reach both sides of the scene
        if is_background or size < 12 * SCALE or self.random.random() < 0.3:
            return
        move = self._light * size * self.random.uniform(0.12, 0.3)
        moved = cv2.warpAffine(
            inside.astype(np.uint8), np.array([[1, 0, move[0]], [0, 1, move[1]]]), inside.shape[::-1]
        )
        self.cartoon[area][inside & (moved == 0)] = color * SHADOW


def _bounding_box(mask: NDArray[np.uint8]) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect(mask)
    return np.s_[top : top + height, left : left + width]


def capsule(start: Points, end: Points, width: float, end_width: float | None = None) -> Points:
    """Return the outline of a line with round ends, `width` pixels wide at the start and `end_width` at the end."""
    direction = end - start
    angle = np.arctan2(direction[1], direction[0])
    half_turn = np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
    first = start + _unit_circle(angle + half_turn) * width / 2
    last = end + _unit_circle(angle + half_turn + np.pi) * (width if end_width is None else end_width) / 2
    return np.concatenate([first, last])


def ellipse(center: Points, width: float, height: float, rotation: float = 0.0) -> Points:
    """Return the outline of an ellipse with two diameters and a rotation in radians."""
    points = _unit_circle(np.linspace(0, 2 * np.pi, 40, endpoint=False)) * np.array([width, height]) / 2
    cosine, sine = np.cos(rotation), np.sin(rotation)
    outline: Points = center + points @ np.array([[cosine, sine], [-sine, cosine]])
    return outline


def _unit_circle(angles: NDArray[np.float64]) -> Points:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _unit_vector(angle: float) -> NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])


def _smooth_noise(random: np.random.Generator, side: int) -> Layer:
    small = random.normal(0, 1, (24, 24)).astype(np.float32)
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    normalized: Layer = large / large.std()
    return normalized
