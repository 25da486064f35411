"""Render random training scenes of a background, objects and people, with exact control maps.

A scene is rendered twice from the same shapes, as a photo and as a cartoon.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.demo_model import scene_people
from jobs.demo_model.scene_canvas import SIDE, Canvas, Color, Points, capsule, ellipse

SKIES: tuple[Color, ...] = ((176, 216, 244), (146, 196, 236), (214, 232, 240), (196, 214, 226))
GREENS: tuple[Color, ...] = ((96, 160, 84), (70, 132, 78), (136, 180, 92), (60, 108, 80))
EARTH: tuple[Color, ...] = ((150, 132, 110), (176, 164, 140), (120, 116, 112), (196, 190, 178))
WALLS: tuple[Color, ...] = ((206, 198, 180), (170, 180, 186), (140, 150, 160), (224, 220, 206), (158, 140, 126))
OBJECTS: tuple[Color, ...] = (*GREENS, *EARTH, *WALLS, (64, 150, 150), (232, 214, 120), (90, 96, 110), (240, 240, 236))
PEOPLE_SHARE = 0.75  # share of scenes with people


@dataclass(frozen=True)
class Scene:
    """The cartoon and the photo of a scene, with its depth map, its people and its words."""

    cartoon: NDArray[np.uint8]  # [SIDE, SIDE, 3], RGB
    photo: NDArray[np.uint8]  # [SIDE, SIDE, 3], RGB
    depth: NDArray[np.uint8]  # [SIDE, SIDE], 255 is nearest
    people: list[NDArray[np.float64]]  # COCO keypoints [17, 3] of each person, in pixels
    words: list[str]  # for the prompt


def random_scene(seed: int) -> Scene:
    """Render the scene of a seed."""
    random = np.random.default_rng(seed)
    background = _BACKGROUNDS[random.choice(list(_BACKGROUNDS), p=[0.22, 0.14, 0.16, 0.18, 0.3])]
    canvas = Canvas(random, _random_color(random, SKIES))
    words = background(canvas, random)
    people: list[tuple[float, NDArray[np.float64]]] = []  # depth and COCO keypoints [17, 3]
    if random.random() < PEOPLE_SHARE:
        count = int(random.choice([1, 2, 3], p=[0.7, 0.22, 0.08]))
        words.append("person" if count == 1 else "people")
        people += [_render_person(canvas, random, words) for _ in range(count)]
    for _ in range(random.integers(0, 4)):
        _render_object(canvas, random)
    cartoon, photo, depth = canvas.render()
    visible = [_visible_keypoints(keypoints, own_depth, depth) for own_depth, keypoints in people]
    return Scene(cartoon, photo, depth, visible, words)


def _render_person(canvas: Canvas, random: np.random.Generator, words: list[str]) -> tuple[float, NDArray[np.float64]]:
    """Render a person and append its words to `words`. Returns the person's depth and COCO keypoints."""
    height = float(np.exp(random.uniform(np.log(90), np.log(420))))
    lowest = random.uniform(max(height, 0.55 * SIDE), 1.02 * SIDE) if height < SIDE else height + random.uniform(4, 30)
    feet = np.array([random.uniform(0.15, 0.85) * SIDE, lowest])
    depth = canvas.depth_above_ground(feet, float(np.clip(0.35 + 0.5 * height / SIDE, 0.4, 0.95)))
    skeleton, look = scene_people.random_skeleton(random, height, feet), scene_people.random_appearance(random)
    scene_people.render_person(canvas, skeleton, height, depth, look)
    words += [f"{look.hair} hair", f"{look.top} shirt", "smile" if look.smile > 0 else "sad"]
    return depth, scene_people.coco_keypoints(skeleton, SIDE)


def _visible_keypoints(
    keypoints: NDArray[np.float64], own_depth: float, depth: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Set keypoints to zero if a nearer shape hides them, because a detector would not find them."""
    columns, rows = keypoints[:, 0].astype(int), keypoints[:, 1].astype(int)
    hidden = depth[rows, columns] > own_depth * 255 + 4
    return np.where(hidden[:, None], 0, keypoints)


def _render_object(canvas: Canvas, random: np.random.Generator) -> None:
    """Render an object of a random shape at a random depth."""
    depth = float(random.uniform(0.15, 1.0))
    center, size = random.uniform(0, SIDE, 2), float(random.uniform(20, 110)) * (0.5 + depth)
    color = _random_color(random, OBJECTS)
    kind = random.integers(4)
    rotation = float(random.uniform(0, np.pi))
    if kind == 0:
        points = ellipse(center, size, size * random.uniform(0.5, 1), rotation)
    elif kind == 1:
        points = _box(center, size, size * random.uniform(0.3, 1.2), rotation if random.random() < 0.4 else 0.0)
    elif kind == 2:
        reach = np.array([np.cos(rotation), np.sin(rotation)]) * size
        points = capsule(center - reach, center + reach, size * 0.3)
    else:
        spread = random.uniform(0.4, 1, 7) * size / 2
        angles = np.sort(random.uniform(0, 2 * np.pi, 7))
        points = center + np.stack([np.cos(angles), np.sin(angles)], axis=1) * spread[:, None]
    canvas.polygon(points, color, depth, slope=float(random.uniform(-0.1, 0.1)))


def _render_mountains(canvas: Canvas, random: np.random.Generator) -> list[str]:
    horizon = random.uniform(0.45, 0.7) * SIDE
    for depth in (0.06, 0.12, 0.2)[: random.integers(1, 4)]:
        ridge = _ridge(random, horizon, random.uniform(30, 110) * (1.2 - depth), bottom=horizon + 4)
        canvas.polygon(ridge, (120, 140, 170), depth)
    _render_ground(canvas, random, horizon, _random_color(random, GREENS))
    for _ in range(random.integers(0, 5)):
        _render_tree(canvas, random, horizon)
    return ["mountains", "meadow"]


def _render_sea(canvas: Canvas, random: np.random.Generator) -> list[str]:
    horizon = random.uniform(0.35, 0.6) * SIDE
    _render_ground(canvas, random, horizon, (78, 140, 188))
    shore = random.uniform(0.65, 0.9) * SIDE
    depth = canvas.depth_above_ground(np.array([SIDE / 2, shore]), 0.35)  # not behind the water
    canvas.polygon(_ridge(random, shore, 10, bottom=SIDE + 9), (226, 212, 170), depth + 0.25, slope=0.5)
    canvas.polygon(ellipse(random.uniform(0.1, 0.4, 2) * SIDE, 34, 34), (250, 246, 226), 0.03)
    return ["sea", "beach"]


def _render_forest(canvas: Canvas, random: np.random.Generator) -> list[str]:
    horizon = random.uniform(0.4, 0.6) * SIDE
    _render_ground(canvas, random, horizon, _random_color(random, GREENS))
    for _ in range(random.integers(5, 12)):
        _render_tree(canvas, random, horizon)
    return ["forest", "trees"]


def _render_city(canvas: Canvas, random: np.random.Generator) -> list[str]:
    horizon = random.uniform(0.55, 0.75) * SIDE
    _render_ground(canvas, random, horizon, _random_color(random, EARTH))
    for _ in range(random.integers(3, 8)):
        _render_house(canvas, random, float(random.uniform(0.1, 0.6)), horizon)
    return ["city", "houses"]


def _render_room(canvas: Canvas, random: np.random.Generator) -> list[str]:
    edge = random.uniform(0.6, 0.85) * SIDE
    wall = np.array([[-9.0, -9], [SIDE + 9, -9], [SIDE + 9, edge], [-9, edge]])
    canvas.polygon(wall, _random_color(random, WALLS), 0.2)
    _render_ground(canvas, random, edge, _random_color(random, EARTH))
    for _ in range(random.integers(0, 3)):  # posters and windows on the wall
        center = np.array([random.uniform(0.1, 0.9) * SIDE, random.uniform(0.1, 0.5) * SIDE])
        canvas.polygon(_box(center, random.uniform(30, 70), random.uniform(30, 70)), _random_color(random, SKIES), 0.22)
    for _ in range(random.integers(1, 4)):  # tables and shelves
        depth = float(random.uniform(0.3, 0.9))
        foot = np.array([random.uniform(0, 1) * SIDE, edge + depth * (SIDE - edge)])
        size = random.uniform(40, 120) * (0.5 + depth)
        shape = _box(foot - np.array([0, size * 0.25]), size, size * 0.5)
        canvas.polygon(shape, _random_color(random, OBJECTS), canvas.depth_above_ground(foot, depth))
    return ["room"]


def _render_ground(canvas: Canvas, random: np.random.Generator, horizon: float, color: Color) -> None:
    """Render a floor that is farthest at the horizon, and nearest at the bottom of the image."""
    corners = np.array([[-9, horizon], [SIDE + 9, horizon], [SIDE + 9, SIDE + 9], [-9, SIDE + 9]])
    canvas.polygon(corners, color, 0.52, slope=float(random.uniform(0.5, 0.8)))


def _render_tree(canvas: Canvas, random: np.random.Generator, horizon: float) -> None:
    depth = float(random.uniform(0.22, 0.8))
    foot = np.array([random.uniform(0, SIDE), horizon + (depth - 0.2) * (SIDE - horizon)])
    height = random.uniform(70, 150) * (0.35 + depth)
    depth = canvas.depth_above_ground(foot, depth)
    crown = foot - np.array([0, height * 0.75])
    canvas.polygon(capsule(foot, crown, height * 0.13, height * 0.06), (110, 88, 70), depth)
    for _ in range(random.integers(1, 4)):
        offset = random.normal(0, 0.1, 2) * height
        canvas.polygon(
            ellipse(crown + offset, height * random.uniform(0.4, 0.7), height * 0.5),
            _random_color(random, GREENS),
            depth,
        )


def _render_house(canvas: Canvas, random: np.random.Generator, depth: float, horizon: float) -> None:
    width, height = random.uniform(40, 90) * (0.5 + depth), random.uniform(60, 200) * (0.5 + depth)
    foot = np.array([random.uniform(0, SIDE), horizon + depth * 0.5 * (SIDE - horizon)])
    depth, center = canvas.depth_above_ground(foot, depth), foot - np.array([0, height / 2])
    canvas.polygon(_box(center, width, height), _random_color(random, WALLS), depth)
    if random.random() < 0.5:
        top = center - np.array([0, height / 2])
        roof = np.array([[-0.6 * width, 0], [0, -0.4 * width], [0.6 * width, 0]])
        canvas.polygon(top + roof, (120, 96, 92), depth)
    pane = width / 4
    for row in np.arange(center[1] - height / 2 + pane, center[1] + height / 2 - pane, pane * 1.8):
        for column in (-0.25, 0.25):
            canvas.polygon(_box(np.array([center[0] + column * width, row]), pane, pane), (96, 116, 140), depth)


def _ridge(random: np.random.Generator, base: float, height: float, bottom: float) -> Points:
    columns = np.linspace(-9, SIDE + 9, 12)
    tops = base - random.uniform(0.1, 1, 12) * height
    return np.concatenate([np.stack([columns, tops], axis=1), [[SIDE + 9, bottom], [-9, bottom]]])


def _box(center: Points, width: float, height: float, rotation: float = 0.0) -> Points:
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    cosine, sine = np.cos(rotation), np.sin(rotation)
    rotated: Points = center + corners @ np.array([[cosine, sine], [-sine, cosine]])
    return rotated


def _random_color(random: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    """Return one of the colours with a little noise."""
    color = np.array(colors[random.integers(len(colors))]) + random.normal(0, 9, 3)
    return tuple(float(channel) for channel in color.clip(0, 255))  # type: ignore[return-value]  # three of them


_BACKGROUNDS: dict[str, Callable[[Canvas, np.random.Generator], list[str]]] = {
    "mountains": _render_mountains,
    "sea": _render_sea,
    "forest": _render_forest,
    "city": _render_city,
    "room": _render_room,
}
