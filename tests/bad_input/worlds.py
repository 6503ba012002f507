"""A whole small download of every competition, that a case then spoils in one place."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from competitions import load

SIDE = 40
"""Of the pictures, in pixels: more than the 32 that the commands ask for."""
FIRST = {
    "aptos": "train_images/a00.png",
    "cassava": "train_images/a00.jpg",
    "cct20": "eccv_18_all_images_sm/train00.jpg",
    "cifar10": "train/airplane/0.png",
    "eurosat": "2750/AnnualCrop/AnnualCrop_1.jpg",
    "hpa": "train/a00_green.png",
    "melanoma": "jpeg/train/a00.jpg",
}
"""The picture that cases spoil: the first training row's."""
NAMES = tuple(FIRST)
TRAIN, TEST = [f"a{i:02}" for i in range(12)], [f"t{i:02}" for i in range(4)]


def picture(seed: int = 0) -> np.ndarray:
    """Coarse blocks of colour, uint8 (SIDE, SIDE, 3) in RGB, that no mirror or turn leaves as they are."""
    blocks = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return blocks.repeat(SIDE // 5, axis=0).repeat(SIDE // 5, axis=1)


def write_world(name: str, raw: Path) -> None:
    WRITERS[name](raw)


def write_pictures(files: list[Path]) -> None:
    for seed, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), picture(seed)[..., ::-1])


def write_csv(path: Path, **columns) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, index=False)


def aptos(raw: Path) -> None:
    write_pictures([raw / f"train_images/{id}.png" for id in TRAIN] + [raw / f"test_images/{id}.png" for id in TEST])
    write_csv(raw / "train.csv", id_code=TRAIN, diagnosis=np.arange(12) % 5)
    write_csv(raw / "test.csv", id_code=TEST)
    write_csv(raw / "sample_submission.csv", id_code=TEST, diagnosis=0)


def cassava(raw: Path) -> None:
    train, test = [f"{id}.jpg" for id in TRAIN], [f"{id}.jpg" for id in TEST]
    write_pictures([raw / f"train_images/{id}" for id in train] + [raw / f"test_images/{id}" for id in test])
    write_csv(raw / "train.csv", image_id=train, label=np.arange(12) % 5)
    write_csv(raw / "sample_submission.csv", image_id=test, label=4)


def melanoma(raw: Path) -> None:
    write_pictures([raw / f"jpeg/train/{id}.jpg" for id in TRAIN] + [raw / f"jpeg/test/{id}.jpg" for id in TEST])
    known = {"sex": "male", "age_approx": 45.0, "anatom_site_general_challenge": "torso"}
    patients = [f"IP_{i % 6}" for i in range(12)]
    targets = np.arange(12) % 2
    write_csv(raw / "train.csv", image_name=TRAIN, patient_id=patients, **known, diagnosis="unknown", target=targets)
    write_csv(raw / "test.csv", image_name=TEST, patient_id="IP_9", **known)
    write_csv(raw / "sample_submission.csv", image_name=TEST, target=0)


def hpa(raw: Path) -> None:
    parts = [("train", id) for id in TRAIN] + [("test", id) for id in TEST]
    colors = ("red", "green", "blue", "yellow")
    write_pictures([raw / part / f"{id}_{color}.png" for part, id in parts for color in colors])
    write_csv(raw / "train.csv", Id=TRAIN, Target=[("0", "16 0", "25")[i % 3] for i in range(12)])
    write_csv(raw / "sample_submission.csv", Id=TEST, Predicted=0)


def cct20(raw: Path) -> None:
    for part in ("train", "cis_val", "cis_test"):
        files = [f"{part}{i:02}.jpg" for i in range(6)]
        write_pictures([raw / "eccv_18_all_images_sm" / file for file in files])
        images = [
            {"id": file.removesuffix(".jpg"), "file_name": file, "location": i, "seq_id": f"{part}{i}"}
            for i, file in enumerate(files)
        ]
        annotations = [{"image_id": image["id"], "category_id": (1, 3)[i % 2]} for i, image in enumerate(images)]
        path = raw / "eccv_18_annotation_files" / f"{part}_annotations.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))


def eurosat(raw: Path) -> None:
    classes = load("eurosat").classes
    write_pictures([raw / "2750" / name / f"{name}_{i}.jpg" for name in classes for i in (1, 2)])


def cifar10(raw: Path) -> None:
    classes = load("cifar10").classes
    write_pictures([raw / part / name / f"{i}.png" for part in ("train", "test") for name in classes for i in (0, 1)])


WRITERS = {
    "aptos": aptos,
    "cassava": cassava,
    "cct20": cct20,
    "cifar10": cifar10,
    "eurosat": eurosat,
    "hpa": hpa,
    "melanoma": melanoma,
}
