"""Render people: body parts as capsules along a COCO skeleton, with hair, clothes and a cartoon face."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.demo_model.scene_canvas import Canvas, Color, Points, capsule, ellipse

# Colours that are rare in backgrounds and objects (see `scenes`), so that people are easy to recognise.
SKIN: tuple[Color, ...] = ((255, 214, 190), (241, 190, 158), (196, 138, 104), (255, 226, 208))
CLOTHES: dict[str, Color] = {
    "red": (222, 44, 58), "blue": (48, 84, 214), "purple": (132, 62, 190), "pink": (240, 110, 170),
    "orange": (244, 132, 36),
}  # fmt: skip
HAIR: dict[str, Color] = {
    "black": (50, 44, 58), "brown": (116, 70, 44), "blonde": (246, 210, 96), "red": (200, 62, 40),
    "blue": (70, 110, 220), "pink": (244, 130, 180), "white": (232, 232, 240),
}  # fmt: skip
# The names of COCO's 17 keypoints, in COCO's order.
KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip

Skeleton = dict[str, Points]
"""Points [2] in pixels by name: the keypoints of COCO, `neck`, and `head` (the middle of the head)."""


@dataclass(frozen=True)
class Appearance:
    """The appearance of a person: colours, clothes and expression."""

    skin: Color
    hair: str
    top: str
    bottom: str
    long_hair: bool
    skirt: bool
    smile: float  # -1 (sad) .. 1


def random_appearance(random: np.random.Generator) -> Appearance:
    """Return a random appearance."""
    tops, hair = list(CLOTHES), list(HAIR)
    return Appearance(
        skin=SKIN[random.integers(len(SKIN))],
        hair=hair[random.integers(len(hair))],
        top=tops[random.integers(len(tops))],
        bottom=tops[random.integers(len(tops))],
        long_hair=bool(random.random() < 0.5),
        skirt=bool(random.random() < 0.35),
        smile=float(random.uniform(-1, 1)),
    )


def random_skeleton(random: np.random.Generator, height: float, feet: Points) -> Skeleton:
    """Return the skeleton of a person in a random pose, `height` pixels tall, with the feet near the point `feet`."""
    lean = random.normal(0, 0.09)
    facing = random.uniform(-1, 1)  # direction of the face: -1 is the left of the image
    shoulder_scale = random.uniform(0.75, 1.05)  # below 1 for a body that is turned to the side
    hips = feet - np.array([0, height * random.uniform(0.40, 0.48)])
    neck = hips + height * 0.30 * _direction(np.pi + lean)
    head = neck + height * 0.135 * _direction(np.pi + lean + random.normal(0, 0.12))
    points: Skeleton = {"neck": neck, "head": head}
    for side, sign in (("left", 1.0), ("right", -1.0)):  # the person's left is on the right of the image
        across = np.array([sign, 0.0])
        points[f"{side}_shoulder"] = neck + across * height * 0.105 * shoulder_scale + np.array([0, 0.02 * height])
        points[f"{side}_hip"] = hips + across * height * 0.065 * shoulder_scale
        upper_arm = -sign * (random.uniform(0.05, 0.5) if random.random() < 0.6 else random.uniform(0.5, 2.8))
        forearm = upper_arm - sign * random.uniform(0, 1.2) * random.choice([-0.4, 1.0])
        points[f"{side}_elbow"] = points[f"{side}_shoulder"] + height * 0.165 * _direction(upper_arm)
        points[f"{side}_wrist"] = points[f"{side}_elbow"] + height * 0.155 * _direction(forearm)
        thigh = -sign * random.uniform(-0.12, 0.4)
        points[f"{side}_knee"] = points[f"{side}_hip"] + height * 0.22 * _direction(thigh)
        points[f"{side}_ankle"] = points[f"{side}_knee"] + height * 0.22 * _direction(thigh + random.normal(0, 0.15))
        points[f"{side}_eye"] = head + np.array([(sign * 0.034 + facing * 0.022) * height, -0.004 * height])
        points[f"{side}_ear"] = head + np.array([(sign * 0.07 - facing * 0.006) * height, 0.008 * height])
    points["nose"] = head + np.array([facing * 0.034, 0.026]) * height
    return points


def coco_keypoints(skeleton: Skeleton, side: int) -> NDArray[np.float64]:
    """Return COCO keypoints [17, 3]: x, y and visibility 2; zeros for points outside an image of `side` x `side`."""
    points = np.array([[*skeleton[name], 2.0] for name in KEYPOINTS])
    outside = ((points[:, :2] < 0) | (points[:, :2] >= side)).any(axis=1)
    points[outside] = 0
    return points


def render_person(canvas: Canvas, skeleton: Skeleton, height: float, depth: float, look: Appearance) -> None:
    """Render all parts of a person at the same depth, from the hair at the back to the hair at the front."""
    hair, top, bottom = HAIR[look.hair], CLOTHES[look.top], CLOTHES[look.bottom]
    head = skeleton["head"]
    if look.long_hair:
        back_hair = np.array([[-0.1, -0.02], [0.1, -0.02], [0.125, 0.22], [-0.125, 0.22]]) * height + head
        canvas.polygon(back_hair, hair, depth)
    _render_legs(canvas, skeleton, height, depth, bottom if not look.skirt else look.skin)
    if look.skirt:
        _render_skirt(canvas, skeleton, height, depth, bottom)
    _render_torso(canvas, skeleton, height, depth, top)
    _render_arms(canvas, skeleton, height, depth, top, look.skin)
    canvas.polygon(capsule(skeleton["neck"], head, height * 0.05), look.skin, depth)
    canvas.polygon(ellipse(head, height * 0.155, height * 0.18), look.skin, depth)
    _render_face(canvas, skeleton, height, depth, look)
    _render_front_hair(canvas, head, height, depth, hair)


def body_mask(skeleton: Skeleton, height: float, side: int) -> NDArray[np.bool_]:
    """Return the mask [side, side] of the body that a skeleton describes."""
    canvas = Canvas(np.random.default_rng(0), (0, 0, 0))
    look = Appearance(SKIN[0], "black", "red", "red", long_hair=False, skirt=False, smile=0)
    render_person(canvas, skeleton, height, 1.0, look)
    mask = canvas.depth > 0
    step = mask.shape[0] // side
    return mask[::step, ::step]


def _render_legs(canvas: Canvas, skeleton: Skeleton, height: float, depth: float, color: Color) -> None:
    for side in ("right", "left"):
        hip, knee, ankle = (skeleton[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
        foot = ankle + np.array([0.03 if side == "left" else -0.03, 0.02]) * height
        canvas.polygon(capsule(ankle, foot, height * 0.06), (70, 52, 60), depth)
        canvas.polygon(capsule(knee, ankle, height * 0.085, height * 0.06), color, depth)
        canvas.polygon(capsule(hip, knee, height * 0.11, height * 0.085), color, depth)


def _render_skirt(canvas: Canvas, skeleton: Skeleton, height: float, depth: float, color: Color) -> None:
    left, right = skeleton["left_hip"], skeleton["right_hip"]
    hem = (skeleton["left_knee"] + skeleton["right_knee"]) / 2 - np.array([0, 0.04 * height])
    half_width = np.array([0.15 * height, 0])
    edge = np.array([0.03 * height, -0.03 * height])
    canvas.polygon(np.stack([right - edge * [1, -1], left + edge, hem + half_width, hem - half_width]), color, depth)


def _render_torso(canvas: Canvas, skeleton: Skeleton, height: float, depth: float, color: Color) -> None:
    margin = np.array([0.025 * height, 0])
    corners = [
        skeleton["right_shoulder"] - margin, skeleton["neck"] - np.array([0, 0.01 * height]),
        skeleton["left_shoulder"] + margin, skeleton["left_hip"] + margin, skeleton["right_hip"] - margin,
    ]  # fmt: skip
    canvas.polygon(np.stack(corners), color, depth)


def _render_arms(canvas: Canvas, skeleton: Skeleton, height: float, depth: float, sleeve: Color, skin: Color) -> None:
    for side in ("right", "left"):
        shoulder, elbow, wrist = (skeleton[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist"))
        canvas.polygon(capsule(elbow, wrist, height * 0.058, height * 0.046), skin, depth)
        canvas.polygon(ellipse(wrist, height * 0.062, height * 0.062), skin, depth)
        canvas.polygon(capsule(shoulder, elbow, height * 0.075, height * 0.064), sleeve, depth)


def _render_face(canvas: Canvas, skeleton: Skeleton, height: float, depth: float, look: Appearance) -> None:
    line_width = max(0.5, height * 0.008)
    for side in ("left", "right"):
        eye = skeleton[f"{side}_eye"]
        canvas.polygon(ellipse(eye, height * 0.034, height * 0.05), (250, 250, 252), depth, outline=height > 120)
        canvas.polygon(ellipse(eye, height * 0.024, height * 0.04), (46, 40, 70), depth, outline=False)
        brow = eye + np.array([[-0.022, -0.042], [0.022, -0.042 - 0.008 * look.smile]]) * height
        canvas.line(brow, line_width, depth)
    nose = skeleton["nose"]
    bend = 0.014 * look.smile
    mouth = nose + np.array([[-0.022, 0.026 - bend], [0, 0.026 + bend], [0.022, 0.026 - bend]]) * height
    canvas.line(mouth, line_width, depth, (150, 50, 60))


def _render_front_hair(canvas: Canvas, head: Points, height: float, depth: float, color: Color) -> None:
    """Render the hair at the front: a cap with a jagged lower edge on the forehead."""
    angles = np.linspace(np.pi, 2 * np.pi, 14)
    cap = np.stack([np.cos(angles) * 0.088, np.sin(angles) * 0.105], axis=1)
    points = np.array([[0.09, 0.03], [0.066, -0.03], [0.03, -0.012], [0.0, -0.045], [-0.035, -0.012], [-0.066, -0.03]])
    canvas.polygon(head + np.concatenate([cap, points, [[-0.09, 0.03]]]) * height, color, depth)


def _direction(angle: float) -> Points:
    """Return the unit vector at `angle` radians: 0 points down, pi / 2 to the left of the image."""
    return np.array([-np.sin(angle), np.cos(angle)])
