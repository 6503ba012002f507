"""Sample data for melanoma: drawn skin lesions in the layout of the real download. Not real images of anyone."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.sample import shares, soft_noise, write_sample

TRAIN, TEST = 800, 250
TFRECORDS = 15
MALIGNANT = 0.1
SEPARATION = 3.0  # between the classes, in standard deviations of how suspicious a lesion looks
SITES = ("torso", "lower extremity", "upper extremity", "head/neck", "palms/soles", "oral/genital")
SITE_SHARES = {0: (0.51, 0.25, 0.15, 0.06, 0.02, 0.01), 1: (0.25, 0.13, 0.28, 0.28, 0.03, 0.03)}
"""By target: melanomas are more often where the sun comes."""
OLDER = 7.5
"""Years that a patient is older for each of its melanomas, up to three."""
BENIGN = {
    "unknown": 0.79,
    "nevus": 0.16,
    "seborrheic keratosis": 0.02,
    "lentigo NOS": 0.015,
    "lichenoid keratosis": 0.015,
}
TURN = 2 * np.pi


def make_sample(folder: Path, seed: int) -> pd.DataFrame:
    """Draw 800 training and 250 test lesions; the same for the same seed. As in the resized copies of the download,
    each patient is in one of 15 tfrecord folds, which the paper's split is made of.

    Returns:
        the truth of the test set: id, label (0 or 1), in the order of test.csv.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    random = np.random.default_rng([seed, 2020])
    table = make_table(random)
    train, test = table[:TRAIN], table[TRAIN:]
    drawings = [
        (f"jpeg/{part}/{row.image_name}.jpg", partial(draw_lesion_photograph, [seed, row.Index], row.target, row.tone))
        for part, rows in (("train", train), ("test", test))
        for row in rows.itertuples()
    ]
    asked = ["image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge"]
    tables = {
        "train.csv": train[[*asked, "diagnosis", "benign_malignant", "target"]].assign(
            tfrecord=pd.factorize(train["patient_id"])[0] % TFRECORDS
        ),
        "test.csv": test[asked],
        "sample_submission.csv": test[["image_name"]].assign(target=0),
    }
    write_sample(folder, "melanoma", seed, drawings, tables)
    return test.rename(columns={"image_name": "id", "target": "label"})[["id", "label"]].reset_index(drop=True)


def make_table(random: np.random.Generator) -> pd.DataFrame:
    """One row an image: the columns of the real train.csv, and `tone`, the patient's skin from 0 (fair) to 1.

    Age and site follow the target a little; sex does not.
    """
    n = TRAIN + TEST
    targets = [random.permutation(shares((1 - MALIGNANT, MALIGNANT), part)) for part in (TRAIN, TEST)]
    # Patients have about ten images each, and none has images on both sides.
    patients = [np.sort(random.integers(0, part // 10, part)) for part in (TRAIN, TEST)]
    patient = np.concatenate([patients[0], TRAIN + patients[1]])
    table = pd.DataFrame({"target": np.concatenate(targets)})
    table["image_name"] = [f"ISIC_{number:07d}" for number in random.choice(10**7, n, replace=False)]
    table["patient_id"] = [f"IP_{number:07d}" for number in random.choice(10**7, n, replace=False)[patient]]
    table["sex"] = random.choice(["male", "female"], n, p=[0.52, 0.48])[patient]
    melanomas = table["target"].groupby(patient).transform("sum").clip(upper=3)
    table["age_approx"] = 5.0 * np.clip(np.round(random.normal(8.5, 3, n)[patient] + OLDER * melanomas / 5), 3, 18)
    malignant, at = table["target"] == 1, random.uniform(size=n)
    sites = pick(SITES, SITE_SHARES[1], at), pick(SITES, SITE_SHARES[0], at)
    table["anatom_site_general_challenge"] = np.where(malignant, *sites)
    benign = pick(tuple(BENIGN), tuple(BENIGN.values()), random.uniform(size=n))
    table["diagnosis"] = np.where(malignant, "melanoma", benign)
    table["benign_malignant"] = np.where(malignant, "malignant", "benign")
    table["tone"] = random.beta(1.5, 3, n)[patient]
    table.loc[random.uniform(size=n) < 0.02, "age_approx"] = np.nan
    table.loc[random.uniform(size=n) < 0.02, "anatom_site_general_challenge"] = np.nan
    # Rows of one patient lie apart in the real table.
    order = np.concatenate([random.permutation(TRAIN), TRAIN + random.permutation(TEST)])
    return table.iloc[order].reset_index(drop=True)


def pick(names: tuple[str, ...], chances: tuple[float, ...], at: np.ndarray) -> np.ndarray:
    """The names at `at`, each in [0, 1), when [0, 1) is shared out by `chances`."""
    return np.array(names)[np.searchsorted(np.cumsum(chances)[:-1], at, side="right")]


def draw_lesion_photograph(seed, target: int, tone: float) -> np.ndarray:
    """One lesion as uint8 (h, w, 3) in BGR. Asymmetry, border, colours and size each follow how suspicious it is."""
    random = np.random.default_rng(seed)
    suspicion = random.normal(SEPARATION * target, 1)
    height = int(random.integers(160, 201))
    width = int(height * random.choice([1.0, 4 / 3, 1.5, 16 / 9], p=[0.15, 0.35, 0.4, 0.1]))
    image = draw_skin(height, width, tone, random)
    inside, shade = lesion_shape(height, width, suspicion, random)
    color_lesion(image, inside, shade, suspicion, tone, random)
    if random.uniform() < 0.4:
        draw_hairs(image, int(random.integers(3, 25)), random)
    return photograph(image, random)


def draw_skin(height: int, width: int, tone: float, random: np.random.Generator) -> np.ndarray:
    """Skin with soft blotches and fine texture, float32 (h, w, 3)."""
    fair, dark = np.array([185, 195, 228], np.float32), np.array([95, 125, 175], np.float32)
    color = fair + np.float32(tone) * (dark - fair) + random.normal(0, 5, 3).astype(np.float32)
    texture = 0.04 * soft_noise(random, height, width, 4) + 0.025 * soft_noise(random, height, width, 45)
    return color * (1 + texture[..., None])


def lesion_shape(height: int, width: int, suspicion: float, random: np.random.Generator):
    """How much each pixel belongs to the lesion (0..1), and how near its middle it is (1 inside to 0 at the border).

    The border is a circle with waves: slow ones make it asymmetric, fast ones irregular.
    """
    size = height * np.clip(random.normal(0.25 + 0.025 * suspicion, 0.06), 0.1, 0.48)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x -= width / 2 + random.normal(0, 0.06 * width)
    y -= height / 2 + random.normal(0, 0.06 * height)
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    border = np.ones_like(distance)
    for k in (*range(1, 4), *range(5, 12, 2)):
        slow = k < 4
        height_of_wave = (0.10 if slow else 0.018) * _trait(random, suspicion) / (np.sqrt(k) if slow else 1)
        border += np.float32(height_of_wave) * np.cos(k * angle + np.float32(random.uniform(0, TURN)))
    relative = distance / (np.float32(size) * np.maximum(border, 0.2))
    softness = np.float32(random.uniform(0.06, 0.2))
    return np.clip((1 - relative) / softness + 0.5, 0, 1), np.clip(1 - relative, 0, 1)


def color_lesion(image, inside, shade, suspicion: float, tone: float, random: np.random.Generator) -> None:
    """Brown, darker in the middle, with a network; patches of black, blue-grey, red and white as suspicion grows."""
    height, width = inside.shape
    brown = np.array([62, 80, 122], np.float32) * np.float32(random.uniform(0.7, 1.3) - 0.2 * tone)
    network = 0.08 * soft_noise(random, height, width, 30) + 0.06 * soft_noise(random, height, width, 8)
    color = brown * (1.15 - 0.4 * shade + network)[..., None]
    for patch in ((38, 34, 45), (110, 92, 88), (85, 85, 160), (150, 160, 185)):
        spread = soft_noise(random, height, width, int(random.integers(3, 7)))
        # Most benign lesions show little of another colour, malignant ones two or three.
        cover = np.clip(0.9 * (spread - 2.1 + 0.6 * _trait(random, suspicion)), 0, 0.7)
        color += cover[..., None] * (np.array(patch, np.float32) - color)
    opacity = np.float32(random.uniform(0.65, 0.95)) * inside
    image += opacity[..., None] * (color - image)


def _trait(random: np.random.Generator, suspicion: float) -> float:
    """How strongly one sign shows, 0 upward: each follows the suspicion with a scatter of its own."""
    return float(np.log1p(np.exp(0.7 * suspicion + random.normal(0, 0.6))))


def draw_hairs(image: np.ndarray, count: int, random: np.random.Generator) -> None:
    """Thin dark arcs that mostly run one way."""
    height, width = image.shape[:2]
    main = random.uniform(0, TURN)
    along = np.linspace(-0.5, 0.5, 12)[:, None]
    color = (random.uniform(20, 60),) * 3
    for _ in range(count):
        angle = main + random.normal(0, 0.35)
        ahead = np.array([np.cos(angle), np.sin(angle)])
        aside = np.array([-ahead[1], ahead[0]])
        length, bend = random.uniform(0.4, 1.1) * height, random.normal(0, 0.25) * height
        points = random.uniform(0, 1, 2) * (width, height) + length * along * ahead + bend * along**2 * aside
        line = np.rint(points * 16).astype(np.int32)
        cv2.polylines(image, [line], False, color, 1, cv2.LINE_AA, 4)


def photograph(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What the dermatoscope adds: blur, exposure, light that falls off, in some a black surround. uint8."""
    height, width = image.shape[:2]
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(x - width / 2, y - height / 2).astype(np.float32) / np.float32(np.hypot(width, height) / 2)
    image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.0))
    image *= np.float32(random.uniform(0.85, 1.1)) * (1 - np.float32(random.uniform(0, 0.4)) * distance**2)[..., None]
    if random.uniform() < 0.25:
        reach = np.float32(random.uniform(0.78, 0.95))
        image *= np.clip((reach - distance) * 40, 0.03, 1)[..., None]
    image += random.normal(0, 2.5, (height, width, 1)).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)
