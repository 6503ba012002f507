"""The augmentation policies: deterministic, continuous in their strength, as published at strength 1."""

import pickle
import time
import warnings
from random import Random

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from common.augment import NAMES, STRENGTHS, Policy, contact_sheet, evaluation_transform
from common.augment.albumented import Albumented, heavy
from common.augment.crop import random_box, view
from common.errors import UserError
from common.recipe import Recipe

GRADED = [name for name in NAMES if Policy(name).graded]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in a worker of the feed: on images this small, threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def picture(height: int = 120, width: int = 90, channels: int = 3) -> np.ndarray:
    """Smooth colours with some edges."""
    noise = np.random.default_rng(0).integers(0, 255, (6, 5, 4), dtype=np.uint8)
    smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    smooth[height // 3 : height // 2, width // 4 : width // 2] = (250, 10, 128, 60)
    return np.tile(smooth, 4)[..., :channels].copy()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(a.astype(float) - b).mean())


def quarter_of(view: np.ndarray) -> tuple[int, int]:
    """Row and column of the brightest quarter."""
    half = len(view) // 2
    quarters = view[..., 0].reshape(2, half, 2, half).mean(axis=(1, 3))
    return divmod(int(quarters.argmax()), 2)


def test_the_policies_are_those_a_recipe_can_name():
    assert set(NAMES) == set(Recipe.__annotations__["augment"].__args__)
    assert set(Recipe.__annotations__["flips"].__args__) == {"none", "horizontal", "both"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strength", [0, 0.01, 1, 3])
def test_the_same_image_and_seed_give_the_same_bytes_whatever_was_called_before(name, strength):
    image = picture()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transform = Policy(name, strength, "both").transform(64)
        fresh = pickle.loads(pickle.dumps(transform))
    first = [transform(image, seed) for seed in range(12)]
    assert all(view.shape == (64, 64, 3) and view.dtype == np.uint8 for view in first)
    assert all(view.flags.c_contiguous for view in first)
    for seed in reversed(range(12)):
        np.testing.assert_array_equal(fresh(image, seed), first[seed])
    np.testing.assert_array_equal(image, picture(), "the image that was passed in has changed")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_different_seeds_give_different_views(name):
    transform = Policy(name).transform(48)
    views = {transform(picture(), seed).tobytes() for seed in [*range(20), 2**31, 2**62]}
    assert len(views) >= 21


@pytest.mark.parametrize("name", GRADED)
def test_strength_0_leaves_the_crop_and_the_flips_of_base(name):
    image = picture()
    none, base = Policy(name, 0, "both").transform(64), Policy("base", 1, "both").transform(64)
    for seed in range(5):
        np.testing.assert_array_equal(none(image, seed), base(image, seed))


@pytest.mark.parametrize("name", GRADED)
def test_images_change_little_at_little_strength_and_more_with_more(name):
    image = picture()
    views = {s: Policy(name, s).transform(32) for s in (0, 0.05, 0.5, 1, 2)}
    change = {
        s: np.mean([difference(view(image, seed), views[0](image, seed)) for seed in range(30)])
        for s, view in views.items()
    }
    assert change[0] == 0
    assert 0 < change[0.05] < 0.4 * change[1]
    assert change[0.05] < change[0.5] < change[1]
    assert change[1] < 1.1 * change[2]


@pytest.mark.parametrize(
    ("name", "published"), [("randaugment", v2.RandAugment(2, 9, fill=128)), ("augmix", v2.AugMix(severity=3))]
)
def test_at_strength_1_the_automatic_policies_are_those_of_torchvision(name, published):
    image = picture()
    ours, crop = Policy(name).transform(32), Policy("base").transform(32)
    for seed in range(30):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expected = published(torch.from_numpy(crop(image, seed)).permute(2, 0, 1)).permute(1, 2, 0)
        np.testing.assert_array_equal(ours(image, seed), expected.numpy())


@pytest.mark.parametrize("name", NAMES)
def test_the_global_random_streams_are_left_alone(name):
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    transform = Policy(name).transform(32)
    for seed in range(5):
        transform(picture(), seed)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tobytes() == before[1]  # noqa: NPY002


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 4, 13])
def test_images_of_other_channel_counts_pass(name, channels):
    transform = Policy(name, 1, "both").transform(48)
    for seed in range(8):
        assert transform(picture(channels=channels), seed).shape == (48, 48, channels)


def test_two_halves_of_a_chance_are_independent_of_each_other_and_of_the_crop():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32] = 255
    flips = Albumented([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], [])
    seen = [quarter_of(flips(image, seed)) for seed in range(200)]
    assert min(seen.count(quarter) for quarter in ((0, 0), (0, 1), (1, 0), (1, 1))) > 30
    mirrored = [quarter[1] for quarter in seen]
    first_of_crop = [Random(seed).random() for seed in range(200)]
    assert abs(np.corrcoef(mirrored, first_of_crop)[0, 1]) < 0.2


def test_random_crops_are_distributed_as_torchvisions():
    height, width, n = 427, 320, 3000
    random = Random(0)
    boxes = [random_box(height, width, random) for _ in range(n)]
    ours = np.array([(box.top, box.top + box.height, box.left, box.left + box.width) for box in boxes])
    torch.manual_seed(0)
    crop = v2.RandomResizedCrop(64, scale=(0.65, 1.0))
    theirs = [crop.make_params([torch.empty(3, height, width)]) for _ in range(n)]
    theirs = [(p["top"], p["top"] + p["height"], p["left"], p["left"] + p["width"]) for p in theirs]
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        np.testing.assert_allclose(np.quantile(ours, q, axis=0), np.quantile(theirs, q, axis=0), atol=8)
    area = (ours[:, 1] - ours[:, 0]) * (ours[:, 3] - ours[:, 2]) / (height * width)
    assert area.min() > 0.64
    assert area.max() <= 1 + 1e-9


@pytest.mark.parametrize(("height", "width"), [(40, 400), (400, 40), (1, 1), (3, 900)])
def test_random_crops_of_extreme_shapes_stay_inside(height, width):
    for seed in range(50):
        box = random_box(height, width, Random(seed))
        assert 0 <= box.top <= box.top + box.height <= height + 1e-9
        assert 0 <= box.left <= box.left + box.width <= width + 1e-9
    assert Policy("base").transform(32)(picture(height, width), 0).shape == (32, 32, 3)


def test_a_seed_shows_the_same_part_of_an_image_whatever_scale_it_is_stored_at():
    large = picture(1200, 900)
    stored = cv2.resize(large, (320, 427), interpolation=cv2.INTER_AREA)
    transform = Policy("base", flips="both").transform(256)
    assert np.mean([difference(transform(large, seed), transform(stored, seed)) for seed in range(20)]) < 1


def test_a_view_is_the_exact_bilinear_sample_of_a_fractional_box():
    image = picture(320, 427)
    for seed in range(20):
        box = random_box(320, 427, Random(seed))
        scale = np.array([[box.width / 256, 0], [0, box.height / 256]])
        shift = np.array([[box.left], [box.top]]) + np.diag(scale)[:, None] / 2 - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        exact = cv2.warpAffine(
            image, np.hstack([scale, shift]), (256, 256), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        assert difference(view(image, box, 256), exact) < 1


def test_flips_are_those_allowed():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32] = 255  # the bright quarter tells the orientation
    quarters = {"none": {(0, 0)}, "horizontal": {(0, 0), (0, 1)}, "both": {(0, 0), (0, 1), (1, 0), (1, 1)}}
    for flips, allowed in quarters.items():
        transform = Policy("base", flips=flips).transform(32)
        seen = [quarter_of(transform(image, seed)) for seed in range(80)]
        assert set(seen) == allowed
        assert min(seen.count(quarter) for quarter in allowed) > 8


def test_the_evaluation_view_is_torchvisions_resize_and_centre_crop():
    image = picture(500, 400)
    theirs = v2.Compose([v2.Resize(256), v2.CenterCrop(256)])(torch.from_numpy(image).permute(2, 0, 1))
    ours = evaluation_transform(256)(image, 0)
    assert difference(ours, theirs.permute(1, 2, 0).numpy()) < 2
    np.testing.assert_array_equal(ours, evaluation_transform(256)(image, 99))
    np.testing.assert_array_equal(ours, Policy("none", 3).transform(256)(image, 5))


def test_raw_images_that_shrink_a_lot_do_not_alias():
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    assert evaluation_transform(101)(stripes, 0).std() < 15


def test_the_shifts_and_distortions_of_heavy_leave_no_black_border():
    image = np.full((80, 80, 3), 200, np.uint8)
    policy = heavy(1.0)
    geometry = policy.everything.transforms[:2]
    for seed in range(40):
        view = image
        for transform in geometry:
            transform.set_random_state(np.random.default_rng(seed), Random(seed))
            view = transform(image=view)["image"]
        assert view.min() >= 199


def test_base_takes_a_fraction_of_a_millisecond():
    image, transform = picture(427, 320), Policy("base").transform(256)
    took = []
    for seed in range(300):
        began = time.perf_counter()
        transform(image, seed)
        took.append(time.perf_counter() - began)
    assert np.quantile(took, 0.2) < 1e-3  # 0.16 ms on an idle core


def test_an_unknown_policy_and_a_strength_out_of_range_are_refused():
    with pytest.raises(UserError, match="did you mean 'augmix'"):
        Policy("augmixx")
    with pytest.raises(UserError, match=r"must lie in \[0, 3\]"):
        Policy("heavy", 3.5)


def test_the_contact_sheet_shows_every_policy_and_strength(tmp_path):
    path = tmp_path / "new" / "sheet.png"
    contact_sheet([picture(), picture(70, 110)], [Policy(name) for name in NAMES], STRENGTHS, 64, path)
    sheet = cv2.imread(str(path))
    rows = 2 + 4 * len(STRENGTHS)
    assert sheet.shape == (rows * 68 + 5 * 12, 150 + 2 * 68, 3)
    np.testing.assert_array_equal(sheet[:64, 150:214, ::-1], evaluation_transform(64)(picture(), 0))
    with pytest.raises(UserError, match="at least one image"):
        contact_sheet([], [Policy("base")], STRENGTHS, 64, path)


def test_a_rotation_uncovers_what_the_preparation_put_around_the_retina():
    grey = np.full((80, 80, 3), 128, np.uint8)
    for surround, darkest in ((0, 0), (128, 64)):
        turn = Policy("paper-aptos", 1.0, "none", surround).transform(64)
        corners = [turn(grey, seed)[0, 0].mean() for seed in range(8)]
        assert darkest <= min(corners) < darkest + 64
