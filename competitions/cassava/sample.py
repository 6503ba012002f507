"""Sample data for cassava: drawn leaves in the layout of the real download. Not real images of any plant."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.files import write_json
from common.sample import shares, soft_noise, write_sample
from competitions.cassava import COMPETITION
from competitions.cassava.data import NAMES

CLASS_COUNTS = (1087, 2189, 2386, 13158, 2577)  # of the real train.csv
TRAIN, TEST = 500, 150
WRONG = 0.05  # share of labels that are not what the picture shows
HEIGHT, WIDTH = 150, 200  # a quarter of the real 600 × 800
BLIGHT, STREAK, MOTTLE, MOSAIC, HEALTHY = range(5)
TURN = 2 * np.pi


def make_sample(folder: Path, seed: int) -> pd.DataFrame:
    """Draw 500 training and 150 test photographs; the same for the same seed. Five labels of a hundred are wrong, in
    both parts, as in the real data.

    Returns:
        the truth of the test set: id, label (0..4), in the order of sample_submission.csv.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    random = np.random.default_rng([seed, 2021])
    labels = np.concatenate([random.permutation(shares(CLASS_COUNTS, n)) for n in (TRAIN, TEST)])
    shown = mistaken(labels, random)
    ids = [f"{number}.jpg" for number in random.choice(2**32, TRAIN + TEST, replace=False)]
    drawings = [
        (f"{'train' if i < TRAIN else 'test'}_images/{id}", partial(draw_photograph, [seed, i], disease))
        for i, (id, disease) in enumerate(zip(ids, shown, strict=True))
    ]
    table = pd.DataFrame({"image_id": ids, "label": labels})
    train, test = table[:TRAIN], table[TRAIN:]
    tables = {"train.csv": train, "sample_submission.csv": test.assign(label=HEALTHY)}
    write_sample(folder, "cassava", seed, drawings, tables)
    write_json(Path(folder) / NAMES, dict(enumerate(COMPETITION.classes)))
    return test.rename(columns={"image_id": "id"}).reset_index(drop=True)


def mistaken(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What the pictures show: another class than the label says in a share WRONG of the rows."""
    other = (labels + random.integers(1, len(CLASS_COUNTS), len(labels))) % len(CLASS_COUNTS)
    return np.where(random.uniform(size=len(labels)) < WRONG, other, labels)


def draw_photograph(seed, disease: int) -> np.ndarray:
    """A few leaves before soil and shade, uint8 (150, 200, 3) in BGR. Signs are stronger in some plants than others."""
    random = np.random.default_rng(seed)
    severity = float(np.clip(random.normal(0.75, 0.25), 0.15, 1.2))
    leaf_color = np.array([random.uniform(35, 60), random.uniform(110, 150), random.uniform(60, 95)], np.float32)
    image = draw_ground(random)
    for _ in range(int(random.integers(2, 5))):
        leaf, veins = leaf_shape(disease, severity, random)
        color = leaf_color * (1 + 0.08 * noise(random, 5) + 0.04 * noise(random, 40))[..., None]
        SIGNS[disease](color, veins, severity, random)
        color += 0.35 * veins[..., None] * (np.array([110, 190, 150], np.float32) - color)
        shadow = cv2.GaussianBlur(leaf, (0, 0), 4)[..., None]
        image *= 1 - 0.4 * shadow
        image += leaf[..., None] * (color * np.float32(random.uniform(0.8, 1.1)) - image)
    return photograph(image, random)


def noise(random: np.random.Generator, cells: int) -> np.ndarray:
    return soft_noise(random, HEIGHT, WIDTH, cells)


def draw_ground(random: np.random.Generator) -> np.ndarray:
    """Brown soil and dark green shade in patches, float32 (h, w, 3)."""
    soil = np.array([70, 95, 125], np.float32) * np.float32(random.uniform(0.6, 1.2))
    shade = np.array([30, 60, 40], np.float32)
    share = np.clip(0.5 + 0.6 * noise(random, 4) + random.uniform(-0.5, 0.5), 0, 1)[..., None]
    grain = (1 + 0.12 * noise(random, 30) + 0.08 * noise(random, 70))[..., None]
    return (soil + share * (shade - soil)) * grain


def leaf_shape(disease: int, severity: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cover of a palmate leaf of five to seven fingers and of its veins, float32 (h, w) in 0..1 each. Mosaic narrows
    and bends the fingers."""
    stalk = np.array([random.uniform(0.25, 0.75) * WIDTH, random.uniform(0.25, 0.75) * HEIGHT])
    length, heading = random.uniform(0.45, 0.75) * HEIGHT, random.uniform(0, TURN)
    twist = 0.35 * severity if disease == MOSAIC else 0.08
    fingers = int(random.integers(5, 8))
    cover, veins = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    along = np.linspace(0, 1, 12)
    for finger in np.linspace(-0.36, 0.36, fingers):
        bend = heading + finger * TURN + random.normal(0, twist) * along
        reach = length * (1 - 0.9 * finger**2) * random.uniform(0.85, 1.0)
        middle = stalk + (reach * along)[:, None] * np.stack([np.cos(bend), np.sin(bend)], axis=1)
        wide = reach * random.uniform(0.14, 0.19) * (1 - 0.35 * twist) * np.sin(np.pi * along**0.8)
        across = wide[:, None] * np.stack([-np.sin(bend), np.cos(bend)], axis=1)
        outline = np.rint(16 * np.vstack([middle + across, (middle - across)[::-1]])).astype(np.int32)
        cv2.fillPoly(cover, [outline], 255, cv2.LINE_AA, 4)
        cv2.polylines(veins, [np.rint(16 * middle).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
    return cover / np.float32(255), veins / np.float32(255)


def blight(color: np.ndarray, veins: np.ndarray, severity: float, random: np.random.Generator) -> None:
    """Angular brown spots with a yellow rim."""
    for _ in range(random.poisson(45 * severity)):
        center = random.uniform(0, (WIDTH, HEIGHT))
        corners = random.normal(0, random.uniform(2.5, 5.5), (5, 2))
        for size, paint in ((1.7, (60, 165, 165)), (1.0, (35, 60, 95))):
            spot = cv2.convexHull((center + size * corners).astype(np.int32))
            cv2.fillConvexPoly(color, spot, paint, cv2.LINE_AA)


def streak(color: np.ndarray, veins: np.ndarray, severity: float, random: np.random.Generator) -> None:
    """Yellow that spreads like feathers from the veins."""
    near = cv2.GaussianBlur(veins, (0, 0), random.uniform(3.0, 4.5))
    spread = np.clip(3.5 * near * (1 + 0.7 * noise(random, 25)) * severity, 0, 0.85)
    color += spread[..., None] * (np.array([45, 185, 190], np.float32) - color)


def mottle(color: np.ndarray, veins: np.ndarray, severity: float, random: np.random.Generator) -> None:
    """Fine pale specks all over."""
    specks = np.clip(1.4 * (noise(random, 36) - 0.9), 0, 1) * np.clip(0.8 + 0.4 * noise(random, 5), 0, 1)
    color += np.minimum(1.1 * severity * specks, 0.85)[..., None] * (np.array([90, 205, 175], np.float32) - color)


def mosaic(color: np.ndarray, veins: np.ndarray, severity: float, random: np.random.Generator) -> None:
    """Large patches of pale green and yellow with clear borders."""
    patches = np.clip(2.5 * (noise(random, int(random.integers(10, 17))) - 0.2), 0, 1)
    color += (0.8 * min(severity, 1) * patches)[..., None] * (np.array([75, 195, 185], np.float32) - color)


def healthy(color: np.ndarray, veins: np.ndarray, severity: float, random: np.random.Generator) -> None:
    """A few holes of insects and brown tips happen to any leaf."""
    for _ in range(random.poisson(3)):
        center = tuple(int(place) for place in random.uniform(0, (WIDTH, HEIGHT)))
        cv2.circle(color, center, int(random.integers(1, 4)), (40, 70, 90), -1, cv2.LINE_AA)


SIGNS = {BLIGHT: blight, STREAK: streak, MOTTLE: mottle, MOSAIC: mosaic, HEALTHY: healthy}


def photograph(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What the telephone adds: uneven sun, its own white, blur and noise. uint8."""
    image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.1))
    image *= (1 + 0.18 * noise(random, 2))[..., None]
    image *= (random.uniform(0.75, 1.25) * random.uniform(0.92, 1.08, 3)).astype(np.float32)
    image += np.float32(random.uniform(2, 5)) * random.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)
