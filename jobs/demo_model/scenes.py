"""Scenes drawn by program, with the exact truth for every control map: layered places, things, people.

A scene is rendered twice from the same shapes: once photographed, once drawn.
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
THINGS: tuple[Color, ...] = (*GREENS, *EARTH, *WALLS, (64, 150, 150), (232, 214, 120), (90, 96, 110), (240, 240, 236))
PEOPLE = 0.75  # share of scenes with anyone in them


@dataclass(frozen=True)
class Scene:
    """A scene's two renderings and its truth."""

    drawn: NDArray[np.uint8]  # [SIDE, SIDE, 3], RGB
    photo: NDArray[np.uint8]  # [SIDE, SIDE, 3], RGB
    depth: NDArray[np.uint8]  # [SIDE, SIDE], 255 is nearest
    people: list[NDArray[np.float64]]  # COCO's [17, 3] each, pixels
    words: list[str]  # what was rendered


def random_scene(seed: int) -> Scene:
    """Return the scene of a seed."""
    random = np.random.default_rng(seed)
    place = _PLACES[random.choice(list(_PLACES), p=[0.22, 0.14, 0.16, 0.18, 0.3])]
    canvas = Canvas(random, _pick(random, SKIES))
    words = place(canvas, random)
    found: list[tuple[float, NDArray[np.float64]]] = []  # how near, and COCO's [17, 3]
    if random.random() < PEOPLE:
        crowd = int(random.choice([1, 2, 3], p=[0.7, 0.22, 0.08]))
        words.append("person" if crowd == 1 else "people")
        found += [_person(canvas, random, words) for _ in range(crowd)]
    for _ in range(random.integers(0, 4)):
        _thing(canvas, random)
    drawn, photo, depth = canvas.finished()
    return Scene(drawn, photo, depth, [_seen(person, near, depth) for near, person in found], words)


def _person(canvas: Canvas, random: np.random.Generator, words: list[str]) -> tuple[float, NDArray[np.float64]]:
    """Paint a person and add their words; return how near they are, and their keypoints."""
    height = float(np.exp(random.uniform(np.log(90), np.log(420))))
    lowest = random.uniform(max(height, 0.55 * SIDE), 1.02 * SIDE) if height < SIDE else height + random.uniform(4, 30)
    feet = np.array([random.uniform(0.15, 0.85) * SIDE, lowest])
    near = canvas.standing(feet, float(np.clip(0.35 + 0.5 * height / SIDE, 0.4, 0.95)))
    skeleton, look = scene_people.random_skeleton(random, height, feet), scene_people.random_look(random)
    scene_people.paint_person(canvas, skeleton, height, near, look)
    words += [f"{look.hair} hair", f"{look.top} shirt", "smile" if look.smile > 0 else "sad"]
    return near, scene_people.keypoints(skeleton, SIDE)


def _seen(person: NDArray[np.float64], near: float, depth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a person's keypoints without those that something nearer hides: no detector would find them."""
    columns, rows = person[:, 0].astype(int), person[:, 1].astype(int)
    hidden = depth[rows, columns] > near * 255 + 4
    return np.where(hidden[:, None], 0, person)


def _thing(canvas: Canvas, random: np.random.Generator) -> None:
    """Paint a thing of any shape at any depth."""
    near = float(random.uniform(0.15, 1.0))
    center, size = random.uniform(0, SIDE, 2), float(random.uniform(20, 110)) * (0.5 + near)
    color = _pick(random, THINGS)
    kind = random.integers(4)
    turned = float(random.uniform(0, np.pi))
    if kind == 0:
        points = ellipse(center, size, size * random.uniform(0.5, 1), turned)
    elif kind == 1:
        points = _box(center, size, size * random.uniform(0.3, 1.2), turned if random.random() < 0.4 else 0.0)
    elif kind == 2:
        reach = np.array([np.cos(turned), np.sin(turned)]) * size
        points = capsule(center - reach, center + reach, size * 0.3)
    else:
        spread = random.uniform(0.4, 1, 7) * size / 2
        angles = np.sort(random.uniform(0, 2 * np.pi, 7))
        points = center + np.stack([np.cos(angles), np.sin(angles)], axis=1) * spread[:, None]
    canvas.polygon(points, color, near, rise=float(random.uniform(-0.1, 0.1)))


def _mountains(canvas: Canvas, random: np.random.Generator) -> list[str]:
    horizon = random.uniform(0.45, 0.7) * SIDE
    for near in (0.06, 0.12, 0.2)[: random.integers(1, 4)]:
        ridge = _ridge(random, horizon, random.uniform(30, 110) * (1.2 - near), bottom=horizon + 4)
        canvas.polygon(ridge, (120, 140, 170), near)
    _ground(canvas, random, horizon, _pick(random, GREENS))
    for _ in range(random.integers(0, 5)):
        _tree(canvas, random, horizon)
    return ["mountains", "meadow"]


def _sea(canvas: Canvas, random: np.random.Generator) -> list[str]:
    horizon = random.uniform(0.35, 0.6) * SIDE
    _ground(canvas, random, horizon, (78, 140, 188))
    shore = random.uniform(0.65, 0.9) * SIDE
    near = canvas.standing(np.array([SIDE / 2, shore]), 0.35)  # upon the water, which comes nearer as well
    canvas.polygon(_ridge(random, shore, 10, bottom=SIDE + 9), (226, 212, 170), near + 0.25, rise=0.5)
    canvas.polygon(ellipse(random.uniform(0.1, 0.4, 2) * SIDE, 34, 34), (250, 246, 226), 0.03)
    return ["sea", "beach"]


def _forest(canvas: Canvas, random: np.random.Generator) -> list[str]:
    horizon = random.uniform(0.4, 0.6) * SIDE
    _ground(canvas, random, horizon, _pick(random, GREENS))
    for _ in range(random.integers(5, 12)):
        _tree(canvas, random, horizon)
    return ["forest", "trees"]


def _city(canvas: Canvas, random: np.random.Generator) -> list[str]:
    horizon = random.uniform(0.55, 0.75) * SIDE
    _ground(canvas, random, horizon, _pick(random, EARTH))
    for _ in range(random.integers(3, 8)):
        _house(canvas, random, float(random.uniform(0.1, 0.6)), horizon)
    return ["city", "houses"]


def _room(canvas: Canvas, random: np.random.Generator) -> list[str]:
    edge = random.uniform(0.6, 0.85) * SIDE
    whole = np.array([[-9.0, -9], [SIDE + 9, -9], [SIDE + 9, edge], [-9, edge]])
    canvas.polygon(whole, _pick(random, WALLS), 0.2)
    _ground(canvas, random, edge, _pick(random, EARTH))
    for _ in range(random.integers(0, 3)):  # pictures and windows on the wall
        center = np.array([random.uniform(0.1, 0.9) * SIDE, random.uniform(0.1, 0.5) * SIDE])
        canvas.polygon(_box(center, random.uniform(30, 70), random.uniform(30, 70)), _pick(random, SKIES), 0.22)
    for _ in range(random.integers(1, 4)):  # a table, a shelf
        near = float(random.uniform(0.3, 0.9))
        foot = np.array([random.uniform(0, 1) * SIDE, edge + near * (SIDE - edge)])
        size = random.uniform(40, 120) * (0.5 + near)
        shape = _box(foot - np.array([0, size * 0.25]), size, size * 0.5)
        canvas.polygon(shape, _pick(random, THINGS), canvas.standing(foot, near))
    return ["room"]


def _ground(canvas: Canvas, random: np.random.Generator, horizon: float, color: Color) -> None:
    """Paint a floor that comes nearer from the horizon down."""
    corners = np.array([[-9, horizon], [SIDE + 9, horizon], [SIDE + 9, SIDE + 9], [-9, SIDE + 9]])
    canvas.polygon(corners, color, 0.52, rise=float(random.uniform(0.5, 0.8)))


def _tree(canvas: Canvas, random: np.random.Generator, horizon: float) -> None:
    near = float(random.uniform(0.22, 0.8))
    foot = np.array([random.uniform(0, SIDE), horizon + (near - 0.2) * (SIDE - horizon)])
    tall = random.uniform(70, 150) * (0.35 + near)
    near = canvas.standing(foot, near)
    crown = foot - np.array([0, tall * 0.75])
    canvas.polygon(capsule(foot, crown, tall * 0.13, tall * 0.06), (110, 88, 70), near)
    for _ in range(random.integers(1, 4)):
        offset = random.normal(0, 0.1, 2) * tall
        canvas.polygon(
            ellipse(crown + offset, tall * random.uniform(0.4, 0.7), tall * 0.5), _pick(random, GREENS), near
        )


def _house(canvas: Canvas, random: np.random.Generator, near: float, horizon: float) -> None:
    wide, tall = random.uniform(40, 90) * (0.5 + near), random.uniform(60, 200) * (0.5 + near)
    foot = np.array([random.uniform(0, SIDE), horizon + near * 0.5 * (SIDE - horizon)])
    near, center = canvas.standing(foot, near), foot - np.array([0, tall / 2])
    canvas.polygon(_box(center, wide, tall), _pick(random, WALLS), near)
    if random.random() < 0.5:
        top = center - np.array([0, tall / 2])
        roof = np.array([[-0.6 * wide, 0], [0, -0.4 * wide], [0.6 * wide, 0]])
        canvas.polygon(top + roof, (120, 96, 92), near)
    pane = wide / 4
    for row in np.arange(center[1] - tall / 2 + pane, center[1] + tall / 2 - pane, pane * 1.8):
        for column in (-0.25, 0.25):
            canvas.polygon(_box(np.array([center[0] + column * wide, row]), pane, pane), (96, 116, 140), near)


def _ridge(random: np.random.Generator, base: float, tall: float, bottom: float) -> Points:
    across = np.linspace(-9, SIDE + 9, 12)
    tops = base - random.uniform(0.1, 1, 12) * tall
    return np.concatenate([np.stack([across, tops], axis=1), [[SIDE + 9, bottom], [-9, bottom]]])


def _box(center: Points, width: float, height: float, turned: float = 0.0) -> Points:
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    cosine, sine = np.cos(turned), np.sin(turned)
    turned_corners: Points = center + corners @ np.array([[cosine, sine], [-sine, cosine]])
    return turned_corners


def _pick(random: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    """Return one of the colours, changed a little."""
    color = np.array(colors[random.integers(len(colors))]) + random.normal(0, 9, 3)
    return tuple(float(channel) for channel in color.clip(0, 255))  # type: ignore[return-value]  # three of them


_PLACES: dict[str, Callable[[Canvas, np.random.Generator], list[str]]] = {
    "mountains": _mountains, "sea": _sea, "forest": _forest, "city": _city, "room": _room,
}  # fmt: skip
