"""Sample data for CCT-20: drawn camera-trap sequences in the layout of the real download. No real animal was there."""

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.files import write_json
from common.sample import shares, soft_noise, write_sample
from competitions.cct20 import COMPETITION
from competitions.cct20.animals import draw_animal, draw_car
from competitions.cct20.data import CATEGORIES, EMPTY, IMAGES, annotation_file

SEQUENCES = {"train": 240, "cis_val": 50, "cis_test": 90, "trans_val": 30, "trans_test": 60}
PLACES = (12, 33, 38, 61, 90, 108)
UNSEEN_PLACES = {"trans_val": (46,), "trans_test": (7, 24, 51, 78, 100)}
CLASS_SHARES = (12, 8, 8, 8, 6, 7, 10, 12, 8, 8, 4, 6, 6, 5, 6)
EMPTY_SHARE = 0.08
DAY_ANIMALS = ("squirrel", "bird", "dog", "deer", "car")
HEIGHT, WIDTH = 144, 192
NAMES = dict(zip(CATEGORIES, COMPETITION.classes, strict=True)) | {EMPTY: "empty"}


def make_sample(folder: Path, seed: int) -> pd.DataFrame:
    """Draw 470 sequences of one to four frames, some 1,100 pictures: 380 at six places, and those of trans_val and
    trans_test at six others; the same for the same seed.

    Returns:
        the truth of cis_test without its empty frames: id, label (0..14), in the order of its file.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    random = np.random.default_rng([seed, 2018])
    frames = pd.concat([make_frames(part, count, random) for part, count in SEQUENCES.items()], ignore_index=True)
    drawings = [
        (f"{IMAGES}/{frame.file_name}", partial(draw_picture, seed, frame)) for frame in frames.itertuples(index=False)
    ]
    write_sample(folder, "cct20", seed, drawings, {})
    for part, rows in frames.groupby("part", sort=False):
        path = annotation_file(folder, part)
        drawn = Path(folder) / IMAGES / rows["file_name"].iloc[0]  # not all parts are in folders of earlier versions
        if drawn.is_file() and not path.is_file():
            write_json(path, annotations_of(rows))
    test = frames[(frames["part"] == "cis_test") & (frames["category_id"] != EMPTY)]
    truth = pd.DataFrame({"id": test["id"], "label": test["category_id"].map(CATEGORIES.index).astype(np.int64)})
    return truth.reset_index(drop=True)


def make_frames(part: str, sequences: int, random: np.random.Generator) -> pd.DataFrame:
    """One row a frame: the fields of the real files, `category_id`, `animals` (how many), and what is drawn from."""
    classes = random.permutation(shares(CLASS_SHARES, sequences))
    places = UNSEEN_PLACES.get(part, PLACES)
    habits = np.random.default_rng(20).dirichlet(np.full(len(places), 1.5), len(CATEGORIES))
    rows = []
    for label in classes:
        category = EMPTY if random.uniform() < EMPTY_SHARE else CATEGORIES[label]
        by_day = NAMES[category] in DAY_ANIMALS
        sequence = {
            "seq_id": _uuid(random),
            "location": int(random.choice(places, p=habits[label])),
            "night": bool(random.uniform() < (0.15 if by_day else 0.65)),
            "seq_num_frames": int(random.choice([1, 2, 3, 4], p=[0.25, 0.2, 0.45, 0.1])),
            "category_id": category,
            "animals": 0 if category == EMPTY else 1 + int(category != 33 and random.uniform() < 0.06),
            "walk": int(random.integers(2**31)),
            "part": part,
        }
        day = pd.Timestamp("2012-01-01") + pd.Timedelta(days=int(random.integers(700)))
        at = day + pd.Timedelta(hours=21 if sequence["night"] else 11, seconds=int(random.integers(7200)))
        for frame in range(sequence["seq_num_frames"]):
            when = str(at + pd.Timedelta(seconds=frame))
            rows.append(sequence | {"id": _uuid(random), "frame_num": frame + 1, "date_captured": when})
    table = pd.DataFrame(rows)
    return table.assign(file_name=table["id"] + ".jpg", height=HEIGHT, width=WIDTH)


def annotations_of(frames: pd.DataFrame) -> dict:
    """The frames of one part as COCO camera traps JSON: one annotation an animal, or one of category 30."""
    fields = ["id", "file_name", "height", "width", "location", "seq_id", "seq_num_frames", "frame_num"]
    image_ids = frames["id"].repeat(frames["animals"].clip(lower=1))
    categories = frames["category_id"].loc[image_ids.index]
    annotations = [
        {"id": str(number), "image_id": image, "category_id": int(category)}
        for number, (image, category) in enumerate(zip(image_ids, categories, strict=True))
    ]
    return {
        "info": {"description": "sample data: drawn, in the layout of CCT-20"},
        "categories": [{"id": category, "name": name} for category, name in NAMES.items()],
        "images": frames[[*fields, "date_captured"]].to_dict("records"),
        "annotations": annotations,
    }


def draw_picture(seed: int, frame) -> np.ndarray:
    """One frame as uint8 (h, w, 3) in BGR: the place, whatever walks there, grass before it, and the camera."""
    walk = np.random.default_rng([seed, frame.walk])  # the same for all frames of a sequence
    random = np.random.default_rng([seed, frame.walk, frame.frame_num])
    place = make_place(seed, frame.location)
    picture = place.background.copy()
    eyes = []
    for _ in range(frame.animals):
        layer = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        eyes.append((_draw_walker(layer, NAMES[frame.category_id], place, walk, random, frame.frame_num), layer))
        _cover(picture, layer, 1 + 0.12 * soft_noise(random, HEIGHT, WIDTH, 60))
    _cover(picture, place.grass, np.ones((HEIGHT, WIDTH), np.float32))
    if frame.night:
        return night_camera(picture, [eye for eye, _ in eyes], frame.category_id == 33, random)
    return day_camera(picture, walk, random)


@dataclass(frozen=True)
class Place:
    """What one camera always sees: float32 background (h, w, 3) in BGR, grass before it (BGRA), where ground begins."""

    background: np.ndarray
    grass: np.ndarray
    horizon: float


@cache
def make_place(seed: int, location: int) -> Place:
    """Sky or slope above, ground below, trunks and bushes between, blades of grass in front."""
    random = np.random.default_rng([seed, location])
    horizon = HEIGHT * random.uniform(0.3, 0.5)
    far = np.array([random.uniform(90, 190), random.uniform(120, 180), random.uniform(110, 170)], np.float32)
    ground = np.array([random.uniform(50, 95), random.uniform(85, 125), random.uniform(95, 150)], np.float32)
    y = np.arange(HEIGHT, dtype=np.float32)[:, None] - 6 * soft_noise(random, HEIGHT, WIDTH, 4)
    below = np.clip((y - horizon) / 4, 0, 1)[..., None]
    texture = 0.1 * soft_noise(random, HEIGHT, WIDTH, 8) + 0.06 * soft_noise(random, HEIGHT, WIDTH, 50)
    background = (far + below * (ground - far)) * (1 + texture[..., None])
    things = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for _ in range(random.integers(2, 6)):
        x, foot, width = random.uniform(0, WIDTH), horizon + random.uniform(-5, 25), random.uniform(4, 16)
        bark = (*random.uniform(25, 80, 3).tolist(), 255)
        cv2.rectangle(things, (int(x), 0), (int(x + width), int(foot)), bark, -1)
    for _ in range(random.integers(3, 9)):
        center = int(random.uniform(0, WIDTH)), int(horizon + random.normal(0, 8))
        leaf = (*(random.uniform(0.6, 1.1) * np.array([45, 95, 75])).tolist(), 255)
        cv2.ellipse(things, center, tuple(random.integers(8, 26, 2).tolist()), 0, 0, 360, leaf, -1, cv2.LINE_AA)
    _cover(background, things, 1 + 0.2 * soft_noise(random, HEIGHT, WIDTH, 40))
    grass = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for x in random.normal(random.uniform(0, WIDTH), WIDTH / 4, random.integers(20, 70)):
        tip = int(x + random.normal(0, 8)), int(HEIGHT - random.uniform(10, 38))
        blade = (*(random.uniform(0.6, 1.2) * np.array([60, 120, 110])).tolist(), 255)
        cv2.line(grass, (int(x), HEIGHT), tip, blade, 1, cv2.LINE_AA)
    return Place(background, grass, horizon)


def _draw_walker(layer, name: str, place: Place, walk, random, frame: int) -> np.ndarray:
    """One animal further along its way in every frame; nearer the camera it stands lower and is larger."""
    nearness, facing = walk.uniform(0.25, 1), int(walk.choice([-1, 1]))
    start, pace = WIDTH * walk.uniform(0.2, 0.8), WIDTH * abs(walk.normal(0, 0.09))
    x = start + facing * pace * (frame - 1)
    # Out of the frame but for a part: labelled all the same, as in the real data.
    foot = np.array([np.clip(x, 0, WIDTH), place.horizon + 8 + nearness * (HEIGHT - place.horizon - 14)])
    draw = draw_car if name == "car" else partial(draw_animal, name=name)
    return draw(layer, foot=foot, scale=0.9 + 0.8 * nearness, facing=facing, random=random)


def _cover(picture: np.ndarray, layer: np.ndarray, texture: np.ndarray) -> None:
    """Lay a BGRA layer, colours times alpha, over a float32 picture."""
    picture *= 1 - layer[..., 3:].astype(np.float32) / 255
    picture += layer[..., :3] * texture[..., None].astype(np.float32)


def day_camera(picture: np.ndarray, walk, random) -> np.ndarray:
    """Light and its colour as the hour has them, shade that moves, blur and noise. uint8."""
    light = walk.uniform(0.6, 1.25) * walk.normal(1, 0.05, 3)
    shade = 1 + 0.15 * soft_noise(walk, HEIGHT, WIDTH, 3)
    picture = picture * light.astype(np.float32) * shade[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.5, 0.9))
    picture += random.normal(0, 4, picture.shape).astype(np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


def night_camera(picture: np.ndarray, eyes: list, headlights: bool, random) -> np.ndarray:
    """Grey, lit by the camera's infrared flash from the middle, with eyes that shine. uint8."""
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    distance = np.hypot((x - WIDTH / 2) / WIDTH, (y - 0.6 * HEIGHT) / HEIGHT)
    grey = picture.mean(2) * np.clip(1.25 - random.uniform(1.2, 1.7) * distance, 0.1, 1)
    for eye in eyes:
        center = tuple(np.rint(eye * 16).astype(int).tolist())
        cv2.circle(grey, center, 16 * (5 if headlights else 1), 255.0, -1, cv2.LINE_AA, 4)
    grey = cv2.GaussianBlur(grey, (0, 0), random.uniform(0.6, 1.1)) + random.normal(0, 6, grey.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _uuid(random: np.random.Generator) -> str:
    digits = random.bytes(16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
