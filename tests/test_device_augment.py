"""The device path of augmentation: what the worker path makes of the same draws, for a whole batch at once."""

from collections import Counter
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from common.augment import NAMES, Policy, Transform, evaluation_transform
from common.augment.albumented import Albumented, heavy, paper_aptos
from common.augment.automatic import AugMix, Automatic, RandAugment, to_array, to_tensor
from common.augment.crop import Box, Crop
from common.augment.device import Pictures, augment, work_of
from common.augment.drawn import Drawn, Step
from common.augment.noise import fields

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SIZE = 64
GRADED = [name for name in NAMES if Policy(name).graded]
ALBUMENTED = (
    *("OpticalDistortion", "GridDistortion", "ElasticTransform", "Affine", "Rotate", "ColorJitter"),
    *("RandomBrightnessContrast", "HueSaturationValue", "CLAHE", "MotionBlur", "MedianBlur", "GaussianBlur"),
    *("TableNoise", "CoarseDropout"),
)
COLOURS = ("Brightness", "Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize")
MOVES = ("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn_picture(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Colours at several scales, with edges and pixels at both ends of the range."""
    random = np.random.default_rng(seed)
    picture = np.zeros((height, width, channels), np.float32)
    for cells in (3, 9, 27):
        coarse = random.normal(0, 200 / cells**0.5, (cells, cells, channels)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(picture.shape)
    return (picture + 120).clip(0, 255).astype(np.uint8)


def photographs() -> list[np.ndarray]:
    """As they lie in a cache for SIZE: shared ones, where they are here, and drawn ones."""
    files = [file for name in ("cassava", "melanoma") for file in sorted((SHARED / name).rglob("*.jpg"))[:3]]
    read = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]
    scale = 1.35 * SIZE
    shrunk = [cv2.resize(image, None, fx=scale / min(image.shape[:2]), fy=scale / min(image.shape[:2]),
                         interpolation=cv2.INTER_AREA) for image in read]  # fmt: skip
    return shrunk + [drawn_picture(seed, 84 + seed, 110 - 3 * seed) for seed in range(4)]


IMAGES = photographs()
SQUARES = [evaluation_transform(SIZE)(image, 0) for image in IMAGES]
WHOLE = Crop(Box(0, 0, SIZE, SIZE))


def pictures(images: list[np.ndarray]) -> Pictures:
    """One memory that holds them, in another order than that of the batch."""
    order = list(range(len(images)))[::-1]
    flat = np.concatenate([images[i].reshape(-1, images[i].shape[2]) for i in order])
    begin = dict(zip(order, np.cumsum([0, *(images[i][..., 0].size for i in order)]).tolist(), strict=False))
    height, width = (torch.tensor([float(image.shape[side]) for image in images]) for side in (0, 1))
    return Pictures(torch.from_numpy(flat), torch.tensor([begin[i] for i in range(len(images))]), height, width)


def on_device(images: list[np.ndarray], draws: list[Drawn], size: int = SIZE) -> np.ndarray:
    """uint8 (n, size, size, C)."""
    return augment(pictures(images), work_of(draws).on(torch.device("cpu")), size).permute(0, 2, 3, 1).numpy()


def transformed(transform: Transform, images: list[np.ndarray], seeds: list[int]) -> np.ndarray:
    """By the device path."""
    draws = [transform.draw(*image.shape, seed) for image, seed in zip(images, seeds, strict=True)]
    return on_device(images, draws, transform.size)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(a.astype(float) - b).mean())


def alone(name: str, strength: float) -> Albumented:
    """One transform of the policies that albumentations makes, whatever its chance."""
    parts = [*heavy(strength).everything.transforms, *paper_aptos(strength, surround=30).everything.transforms]
    flat = [inner for part in parts for inner in (part.transforms if isinstance(part, A.OneOf) else [part])]
    (chosen,) = [transform for transform in flat if type(transform).__name__ == name]
    chosen.p = 1
    return Albumented([chosen], [])


@pytest.mark.parametrize("strength", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("name", ALBUMENTED)
def test_each_operation_of_albumentations_has_its_like_on_the_device(name, strength):
    vary = alone(name, strength)
    for seed in range(3):
        seeds = [100 * seed + i for i in range(len(SQUARES))]
        theirs = np.stack([vary(square, own) for square, own in zip(SQUARES, seeds, strict=True)])
        ours = on_device(SQUARES, [Drawn(WHOLE, *vary.draw(SIZE, 3, own)) for own in seeds])
        assert difference(ours, theirs) < 1
        assert difference(np.stack(SQUARES), theirs) > 4 * difference(ours, theirs)


def operations(policy: Automatic, name: str, strength: float) -> list[tuple[str, float]]:
    """The operation at both signs and at a middle and a high level of its range."""
    magnitudes, signed = policy.policy._AUGMENTATION_SPACE.get(name, (None, False))
    levels = None if magnitudes is None else magnitudes(policy.bins, SIZE, SIZE)
    some = [0.0] if levels is None else [float(levels[len(levels) // 3]), float(levels[-len(levels) // 4])]
    policy.strength = strength
    return [(name, policy.scaled(name, sign * value)) for value in some for sign in ((1, -1) if signed else (1,))]


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("name", MOVES + COLOURS)
@pytest.mark.parametrize("policy", [RandAugment, AugMix])
def test_each_operation_of_torchvision_has_its_like_on_the_device(policy, name, strength):
    vary = policy(strength)
    for operation in operations(vary, name, strength):
        theirs = np.stack([to_array(vary.apply(to_tensor(square)[None], [operation])[0]) for square in SQUARES])
        ours = on_device(SQUARES, [Drawn(WHOLE, [vary.steps([operation], SIZE)])] * len(SQUARES))
        assert difference(ours, theirs) < 1


@pytest.mark.parametrize("size", [SIZE, 61])
@pytest.mark.parametrize("strength", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("name", GRADED)
def test_the_two_paths_agree_to_within_two_grey_levels(name, strength, size):
    transform = Policy(name, strength, "both", surround=40).transform(size)
    images = IMAGES * 3
    theirs = np.stack([transform(image, seed) for seed, image in enumerate(images)])
    assert difference(transformed(transform, images, list(range(len(images)))), theirs) < 2


@pytest.mark.parametrize("name", ["none", "base"])
@pytest.mark.parametrize("flips", ["none", "horizontal", "both"])
def test_crops_and_flips_agree_to_within_two_grey_levels(name, flips):
    transform = Policy(name, 1.0, flips).transform(SIZE)
    for seed in range(4):
        theirs = np.stack([transform(image, seed) for image in IMAGES])
        assert difference(transformed(transform, IMAGES, [seed] * len(IMAGES)), theirs) < 2


def test_noise_is_standard_normal_and_another_for_each_seed():
    noise = fields(torch.tensor([0, 1, 65535]), 3 * 256 * 256)
    assert noise.mean(1).abs().max() < 0.01
    assert (noise.std(1) - 1).abs().max() < 0.01
    assert abs(noise.pow(4).mean().item() - 3) < 0.05
    beside = [noise[:, shift:] * noise[:, : noise.shape[1] - shift] for shift in (1, 3, 256 * 3)]
    assert max(product.mean(1).abs().max().item() for product in beside) < 0.01
    assert torch.corrcoef(noise).fill_diagonal_(0).abs().max() < 0.01


def test_drawing_says_in_numbers_what_the_worker_path_applies():
    """What is drawn last, the holes, is the same where all that was drawn before it is."""
    vary = heavy(1.0)
    grey = np.full((SIZE, SIZE, 3), 200, np.uint8)
    for seed in range(60):
        (steps,), _ = vary.draw(SIZE, 3, seed)
        holes = [step.values.astype(int) for step in steps if step.name == "hole"]
        black = (vary(grey, seed) == 0).all(axis=2)
        expected = np.zeros_like(black)
        for left, top, right, bottom in holes:
            expected[top:bottom, left:right] = True
        np.testing.assert_array_equal(black, expected)


def test_every_chance_of_heavy_is_taken_as_often_as_it_says():
    counts = Counter(step.name for seed in range(400) for step in heavy(1.0).draw(SIZE, 3, seed)[0][0])
    expected = {"optical": 0.7 / 3, "elastic": 0.7 / 3, "grid": 0.7 / 3, "affine": 0.85, "clahe": 0.7, "noise": 0.7 / 4}
    for name, chance in expected.items():
        assert abs(counts[name] / 400 - chance) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_an_image_becomes_the_same_bytes_whatever_batch_it_is_in(name):
    transform = Policy(name, 1.0, "both").transform(SIZE)
    seeds = [7 * i for i in range(len(IMAGES))]
    together = transformed(transform, IMAGES, seeds)
    np.testing.assert_array_equal(transformed(transform, IMAGES[::-1], seeds[::-1]), together[::-1])
    for i in (0, 4, 7):
        np.testing.assert_array_equal(transformed(transform, [IMAGES[i]], [seeds[i]])[0], together[i])


@pytest.mark.parametrize("channels", [1, 4, 13])
@pytest.mark.parametrize("name", NAMES)
def test_images_of_other_channel_counts_get_the_geometry_and_agree(name, channels):
    images = [drawn_picture(seed, 90, 100, channels) for seed in range(6)]
    transform = Policy(name, 1.0, "both").transform(SIZE)
    theirs = np.stack([transform(image, seed) for seed, image in enumerate(images)])
    assert difference(transformed(transform, images, list(range(6))), theirs) < 2


class Waits(TorchDispatchMode):
    """Notes each operation for which a GPU's result would have to be known before the next one can be launched."""

    KNOWING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "bincount", "repeat_interleave.Tensor")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function).removeprefix("aten.")
        indices = args[1] if name.startswith(("index.Tensor", "index_put")) else ()
        by_mask = any(index is not None and index.dtype == torch.bool for index in indices)
        if by_mask or name.startswith(self.KNOWING):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def test_what_would_wait_is_found():
    values = torch.arange(4)
    with Waits() as waits:
        values[values > 1]
        values.max().item()
        torch.repeat_interleave(values, values)
    assert len(waits.found) == 3


@pytest.mark.parametrize("name", NAMES)
def test_nothing_waits_for_the_device_and_no_loop_runs_over_images(name):
    transform = Policy(name, 1.0, "both").transform(SIZE)
    counts = []
    for n in (len(IMAGES), 8 * len(IMAGES)):
        images = (IMAGES * 8)[:n]
        work = work_of([transform.draw(*image.shape, seed) for seed, image in enumerate(images)])
        there, memory = work.on(torch.device("cpu")), pictures(images)
        with Waits() as waits:
            augment(memory, there, SIZE)
        assert waits.found == []
        counts.append(sum(len(stage) for round in work.rounds for stage in (*round.geometry, *round.colours)))
    assert counts[1] < 4 * counts[0] + 1


def test_a_batch_is_uploaded_as_one_memory():
    draws = [Policy("heavy").transform(SIZE).draw(90, 100, 3, seed) for seed in range(8)]
    there = work_of(draws).on(torch.device("cpu"))
    memories = set()
    there.map(lambda tensor: memories.add(tensor.untyped_storage().data_ptr()) or tensor)
    assert len(memories) == 1


def test_a_contrast_of_one_grey_level_and_empty_histograms_are_no_trouble():
    flat = [np.full((SIZE, SIZE, 3), level, np.uint8) for level in (0, 7, 255)]
    for name in ("autocontrast", "equalize"):
        steps = [Step(name, np.zeros(0, np.float32))]
        np.testing.assert_array_equal(on_device(flat, [Drawn(WHOLE, [steps])] * 3), np.stack(flat))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_waits_for_nothing_and_gives_what_a_cpu_gives(name):
    transform, gpu = Policy(name, 1.0, "both").transform(SIZE), torch.device("cuda")
    work = work_of([transform.draw(*image.shape, seed) for seed, image in enumerate(IMAGES)])
    expected = augment(pictures(IMAGES), work.on(torch.device("cpu")), SIZE)
    there = Pictures(*(part.to(gpu) for part in pictures(IMAGES)))
    augment(there, work.on(gpu), SIZE)  # tables are copied once
    torch.cuda.set_sync_debug_mode("error")
    try:
        images = augment(there, work.on(gpu), SIZE)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (images.cpu().int() - expected.int()).abs().float().mean() < 0.5
