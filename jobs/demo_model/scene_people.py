"""Drawn people: capsules over COCO's skeleton, with hair, clothes and a face in a drawn style."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.demo_model.scene_canvas import Canvas, Color, Points, capsule, ellipse

# Colours that places and things seldom have (see `scenes`): people stand out.
SKIN: tuple[Color, ...] = ((255, 214, 190), (241, 190, 158), (196, 138, 104), (255, 226, 208))
CLOTHES: dict[str, Color] = {
    "red": (222, 44, 58), "blue": (48, 84, 214), "purple": (132, 62, 190), "pink": (240, 110, 170),
    "orange": (244, 132, 36),
}  # fmt: skip
HAIR: dict[str, Color] = {
    "black": (50, 44, 58), "brown": (116, 70, 44), "blonde": (246, 210, 96), "red": (200, 62, 40),
    "blue": (70, 110, 220), "pink": (244, 130, 180), "white": (232, 232, 240),
}  # fmt: skip
# COCO's 17 keypoints by name, in COCO's order.
NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip

Skeleton = dict[str, Points]
"""COCO's keypoints by name, [2], in pixels, and `neck` and `head` (its middle)."""


@dataclass(frozen=True)
class Look:
    """What a person wears, and how the face is set."""

    skin: Color
    hair: str
    top: str
    bottom: str
    long_hair: bool
    skirt: bool
    smile: float  # -1 (sad) .. 1


def random_look(random: np.random.Generator) -> Look:
    """Return a look."""
    tops, hair = list(CLOTHES), list(HAIR)
    return Look(
        skin=SKIN[random.integers(len(SKIN))],
        hair=hair[random.integers(len(hair))],
        top=tops[random.integers(len(tops))],
        bottom=tops[random.integers(len(tops))],
        long_hair=bool(random.random() < 0.5),
        skirt=bool(random.random() < 0.35),
        smile=float(random.uniform(-1, 1)),
    )


def random_skeleton(random: np.random.Generator, height: float, feet: Points) -> Skeleton:
    """Return a person `height` pixels tall, standing, walking, waving or bending, with the feet about `feet`."""
    lean = random.normal(0, 0.09)
    facing = random.uniform(-1, 1)  # the head's turn: -1 is to the left of the picture
    wide = random.uniform(0.75, 1.05)  # shoulders seen from the front, or half from the side
    hips = feet - np.array([0, height * random.uniform(0.40, 0.48)])
    neck = hips + height * 0.30 * _down(np.pi + lean)
    head = neck + height * 0.135 * _down(np.pi + lean + random.normal(0, 0.12))
    points: Skeleton = {"neck": neck, "head": head}
    for side, sign in (("left", 1.0), ("right", -1.0)):  # the person's left is the picture's right
        across = np.array([sign, 0.0])
        points[f"{side}_shoulder"] = neck + across * height * 0.105 * wide + np.array([0, 0.02 * height])
        points[f"{side}_hip"] = hips + across * height * 0.065 * wide
        raised = -sign * (random.uniform(0.05, 0.5) if random.random() < 0.6 else random.uniform(0.5, 2.8))
        bent = raised - sign * random.uniform(0, 1.2) * random.choice([-0.4, 1.0])
        points[f"{side}_elbow"] = points[f"{side}_shoulder"] + height * 0.165 * _down(raised)
        points[f"{side}_wrist"] = points[f"{side}_elbow"] + height * 0.155 * _down(bent)
        stride = -sign * random.uniform(-0.12, 0.4)
        points[f"{side}_knee"] = points[f"{side}_hip"] + height * 0.22 * _down(stride)
        points[f"{side}_ankle"] = points[f"{side}_knee"] + height * 0.22 * _down(stride + random.normal(0, 0.15))
        points[f"{side}_eye"] = head + np.array([(sign * 0.034 + facing * 0.022) * height, -0.004 * height])
        points[f"{side}_ear"] = head + np.array([(sign * 0.07 - facing * 0.006) * height, 0.008 * height])
    points["nose"] = head + np.array([facing * 0.034, 0.026]) * height
    return points


def keypoints(skeleton: Skeleton, side: int) -> NDArray[np.float64]:
    """Return COCO's [17, 3]: x, y and 2, or three zeros for what lies outside a picture of `side` pixels."""
    found = np.array([[*skeleton[name], 2.0] for name in NAMES])
    outside = ((found[:, :2] < 0) | (found[:, :2] >= side)).any(axis=1)
    found[outside] = 0
    return found


def paint_person(canvas: Canvas, skeleton: Skeleton, height: float, near: float, look: Look) -> None:
    """Paint a person at one nearness, from the hair behind to the face."""
    hair, top, bottom = HAIR[look.hair], CLOTHES[look.top], CLOTHES[look.bottom]
    head = skeleton["head"]
    if look.long_hair:
        behind = np.array([[-0.1, -0.02], [0.1, -0.02], [0.125, 0.22], [-0.125, 0.22]]) * height + head
        canvas.polygon(behind, hair, near)
    _legs(canvas, skeleton, height, near, bottom if not look.skirt else look.skin)
    if look.skirt:
        _skirt(canvas, skeleton, height, near, bottom)
    _torso(canvas, skeleton, height, near, top)
    _arms(canvas, skeleton, height, near, top, look.skin)
    canvas.polygon(capsule(skeleton["neck"], head, height * 0.05), look.skin, near)
    canvas.polygon(ellipse(head, height * 0.155, height * 0.18), look.skin, near)
    _face(canvas, skeleton, height, near, look)
    _fringe(canvas, head, height, near, hair)


def covered(skeleton: Skeleton, height: float, side: int) -> NDArray[np.bool_]:
    """Return where the capsules of a person lie, [side, side]: what a drawing of the skeleton should fill."""
    canvas = Canvas(np.random.default_rng(0), (0, 0, 0))
    look = Look(SKIN[0], "black", "red", "red", long_hair=False, skirt=False, smile=0)
    paint_person(canvas, skeleton, height, 1.0, look)
    whole = canvas.near > 0
    step = whole.shape[0] // side
    return whole[::step, ::step]


def _legs(canvas: Canvas, skeleton: Skeleton, height: float, near: float, color: Color) -> None:
    for side in ("right", "left"):
        hip, knee, ankle = (skeleton[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
        foot = ankle + np.array([0.03 if side == "left" else -0.03, 0.02]) * height
        canvas.polygon(capsule(ankle, foot, height * 0.06), (70, 52, 60), near)
        canvas.polygon(capsule(knee, ankle, height * 0.085, height * 0.06), color, near)
        canvas.polygon(capsule(hip, knee, height * 0.11, height * 0.085), color, near)


def _skirt(canvas: Canvas, skeleton: Skeleton, height: float, near: float, color: Color) -> None:
    left, right = skeleton["left_hip"], skeleton["right_hip"]
    hem = (skeleton["left_knee"] + skeleton["right_knee"]) / 2 - np.array([0, 0.04 * height])
    wide = np.array([0.15 * height, 0])
    edge = np.array([0.03 * height, -0.03 * height])
    canvas.polygon(np.stack([right - edge * [1, -1], left + edge, hem + wide, hem - wide]), color, near)


def _torso(canvas: Canvas, skeleton: Skeleton, height: float, near: float, color: Color) -> None:
    bulge = np.array([0.025 * height, 0])
    corners = [
        skeleton["right_shoulder"] - bulge, skeleton["neck"] - np.array([0, 0.01 * height]),
        skeleton["left_shoulder"] + bulge, skeleton["left_hip"] + bulge, skeleton["right_hip"] - bulge,
    ]  # fmt: skip
    canvas.polygon(np.stack(corners), color, near)


def _arms(canvas: Canvas, skeleton: Skeleton, height: float, near: float, sleeve: Color, skin: Color) -> None:
    for side in ("right", "left"):
        shoulder, elbow, wrist = (skeleton[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist"))
        canvas.polygon(capsule(elbow, wrist, height * 0.058, height * 0.046), skin, near)
        canvas.polygon(ellipse(wrist, height * 0.062, height * 0.062), skin, near)
        canvas.polygon(capsule(shoulder, elbow, height * 0.075, height * 0.064), sleeve, near)


def _face(canvas: Canvas, skeleton: Skeleton, height: float, near: float, look: Look) -> None:
    thin = max(0.5, height * 0.008)
    for side in ("left", "right"):
        eye = skeleton[f"{side}_eye"]
        canvas.polygon(ellipse(eye, height * 0.034, height * 0.05), (250, 250, 252), near, outline=height > 120)
        canvas.polygon(ellipse(eye, height * 0.024, height * 0.04), (46, 40, 70), near, outline=False)
        brow = eye + np.array([[-0.022, -0.042], [0.022, -0.042 - 0.008 * look.smile]]) * height
        canvas.line(brow, thin, near)
    nose = skeleton["nose"]
    bend = 0.014 * look.smile
    mouth = nose + np.array([[-0.022, 0.026 - bend], [0, 0.026 + bend], [0.022, 0.026 - bend]]) * height
    canvas.line(mouth, thin, near, (150, 50, 60))


def _fringe(canvas: Canvas, head: Points, height: float, near: float, color: Color) -> None:
    """Paint the hair on top: a cap with three points over the forehead."""
    angles = np.linspace(np.pi, 2 * np.pi, 14)
    cap = np.stack([np.cos(angles) * 0.088, np.sin(angles) * 0.105], axis=1)
    points = np.array([[0.09, 0.03], [0.066, -0.03], [0.03, -0.012], [0.0, -0.045], [-0.035, -0.012], [-0.066, -0.03]])
    canvas.polygon(head + np.concatenate([cap, points, [[-0.09, 0.03]]]) * height, color, near)


def _down(angle: float) -> Points:
    """Return the unit vector that hangs down at 0 and turns with `angle`, in radians, towards the picture's left."""
    return np.array([-np.sin(angle), np.cos(angle)])
