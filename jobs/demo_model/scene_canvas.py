"""One scene in three layers that grow together: drawn, photographed, and how near.

How near is a depth buffer: in whatever order shapes are painted, a nearer one covers a farther one in every layer.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256  # pixels of a finished scene
SCALE = 2  # painted so many times larger, and shrunk at the end: smooth edges
LINE = 3  # width of a drawn outline, painted pixels
INK = (24, 20, 28)
SHADOW = 0.72  # of a colour, on the side away from the light
HAZE = 0.45  # how much of the sky's colour the farthest shape takes

Color = tuple[float, float, float]
"""RGB, 0..255."""

Points = NDArray[np.float64]
"""[n, 2], x and y in a finished scene's pixels."""

Layer = NDArray[np.float32]
"""[H, W] or [H, W, 3]."""


@dataclass
class Canvas:
    """The layers of a scene while it is painted, at SCALE times its size."""

    random: np.random.Generator
    sky: Color
    drawn: Layer = field(init=False)  # [H, W, 3], 0..255
    photo: Layer = field(init=False)  # [H, W, 3], 0..255, not clipped
    near: Layer = field(init=False)  # [H, W], 0 (far) .. 1 (near)

    def __post_init__(self) -> None:
        side = SIDE * SCALE
        self.drawn = np.full((side, side, 3), self.sky, np.float32)
        self.photo = self.drawn.copy()
        self.near = np.zeros((side, side), np.float32)
        self._light = _unit(self.random.uniform(-2.6, -0.5))  # from above, left or right
        self._grain = self.random.normal(0, 1, (side, side)).astype(np.float32)
        self._clouds = _smooth_noise(self.random, side)

    def standing(self, foot: Points, near: float) -> float:
        """Return how near a thing with its foot at a point is: not behind the ground there, which would hide it."""
        column, row = np.clip(np.rint(foot * SCALE).astype(int), 0, SIDE * SCALE - 1)
        return max(near, float(self.near[row, column]))

    def polygon(self, points: Points, color: Color, near: float, *, rise: float = 0.0, outline: bool = True) -> None:
        """Paint a filled shape. `rise` is how much nearer its lower end is than its upper one: a floor's slope."""
        scaled = np.rint(points * SCALE * 16).astype(np.int32)
        filled, edge = (np.zeros(self.near.shape, np.uint8) for _ in range(2))
        cv2.fillPoly(filled, [scaled], 1, cv2.LINE_8, shift=4)
        if outline:
            cv2.polylines(edge, [scaled], isClosed=True, color=1, thickness=LINE, lineType=cv2.LINE_8, shift=4)
        area = _area(filled | edge)
        down = np.linspace(-0.5, 0.5, filled[area].shape[0], dtype=np.float32)[:, None]
        nearness = np.clip(near + rise * down, 0.02, 1) * np.ones_like(self.near[area])  # [h, w]
        inside = (filled[area] > 0) & (nearness >= self.near[area])
        self._paint(area, inside, np.array(color) + (np.array(self.sky) - color) * HAZE * (1 - near))
        self.near[area][inside] = nearness[inside]
        self.drawn[area][(edge[area] > 0) & (nearness >= self.near[area])] = INK

    def line(self, points: Points, width: float, near: float, color: Color = INK) -> None:
        """Draw an open line upon a shape that is so near: a mouth, a brow."""
        scaled = np.rint(points * SCALE * 16).astype(np.int32)
        mask = np.zeros(self.near.shape, np.uint8)
        cv2.polylines(mask, [scaled], isClosed=False, color=1, thickness=max(1, round(width * SCALE)), shift=4)
        seen = (mask > 0) & (np.float32(near) >= self.near)
        self.drawn[seen] = self.photo[seen] = color

    def finished(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the drawing [H, W, 3], the photo [H, W, 3] and the depth map [H, W] (255 is nearest) at full size."""
        size = (SIDE, SIDE)
        drawn = cv2.resize(self.drawn, size, interpolation=cv2.INTER_AREA)
        lens = cv2.GaussianBlur(cv2.resize(self.photo, size, interpolation=cv2.INTER_AREA), (0, 0), self._blur())
        noisy = lens + self.random.normal(0, self.random.uniform(1, 6), lens.shape)
        near = self.near[::SCALE, ::SCALE] * 255  # not averaged: half-way depth on an edge belongs to nothing
        return tuple(np.rint(np.clip(layer, 0, 255)).astype(np.uint8) for layer in (drawn, noisy, near))  # type: ignore[return-value]  # three of them

    def _blur(self) -> float:
        return float(self.random.uniform(0.3, 0.9))

    def _paint(self, area: tuple[slice, slice], inside: NDArray[np.bool_], color: NDArray[np.float64]) -> None:
        """Fill a part of the pictures: flat with one hard shadow in the drawing, shaded and textured in the photo."""
        height, width = inside.shape
        self.drawn[area][inside] = color
        self._shade(area, inside, color, min(width, height))
        down = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
        across = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
        lit = 1 + self.random.uniform(0.2, 0.6) * (self._light[0] * across + self._light[1] * down)  # [h, w]
        texture = self.random.uniform(0, 10) * self._grain[area] + self.random.uniform(0, 13) * self._clouds[area]
        faded = color + (color.mean() - color) * 0.25  # photos have less chroma than drawings
        self.photo[area][inside] = (faded * lit[:, :, None] + texture[:, :, None])[inside]

    def _shade(
        self, area: tuple[slice, slice], inside: NDArray[np.bool_], color: NDArray[np.float64], size: int
    ) -> None:
        """Darken the drawn shape where the shape itself, moved towards the light, no longer covers it."""
        across = inside.shape[1] == self.near.shape[1]  # a floor, a wall: its edges are the picture's
        if across or size < 12 * SCALE or self.random.random() < 0.3:
            return
        move = self._light * size * self.random.uniform(0.12, 0.3)
        moved = cv2.warpAffine(
            inside.astype(np.uint8), np.array([[1, 0, move[0]], [0, 1, move[1]]]), inside.shape[::-1]
        )
        self.drawn[area][inside & (moved == 0)] = color * SHADOW


def _area(mask: NDArray[np.uint8]) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect(mask)
    return np.s_[top : top + height, left : left + width]


def capsule(start: Points, end: Points, width: float, tip: float | None = None) -> Points:
    """Return the outline of a line of `width` pixels with round ends; `tip` is its width at the end."""
    along = end - start
    angle = np.arctan2(along[1], along[0])
    turn = np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
    first = start + _circle(angle + turn) * width / 2
    last = end + _circle(angle + turn + np.pi) * (width if tip is None else tip) / 2
    return np.concatenate([first, last])


def ellipse(center: Points, width: float, height: float, turned: float = 0.0) -> Points:
    """Return the outline of an ellipse of these diameters, turned by radians."""
    points = _circle(np.linspace(0, 2 * np.pi, 40, endpoint=False)) * np.array([width, height]) / 2
    cosine, sine = np.cos(turned), np.sin(turned)
    outline: Points = center + points @ np.array([[cosine, sine], [-sine, cosine]])
    return outline


def _circle(angles: NDArray[np.float64]) -> Points:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _unit(angle: float) -> NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])


def _smooth_noise(random: np.random.Generator, side: int) -> Layer:
    small = random.normal(0, 1, (24, 24)).astype(np.float32)
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    even: Layer = large / large.std()
    return even
