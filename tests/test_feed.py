"""The feed: the same batches whatever the workers and wherever it is entered, and no more memory for more images."""

import json
import multiprocessing
import os
import signal
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from common import feed as feed_module
from common.augment import Policy, evaluation_transform
from common.augment.device import look
from common.cache import ENTRY, Cache, concatenate
from common.compiled import Compiled
from common.errors import MachineError, UserError
from common.feed import Feed, image_seeds
from common.feed_device import DeviceFeed
from common.images import read_rgb
from common.options import Options
from common.pixels import Resident, Streamed, pixels_of
from common.prepare import prepare
from common.processes import started
from common.recipe import Recipe
from common.run import open_run
from common.train.feeds import as_begun

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


class Pictures:
    """A cache of random pictures of different shapes."""

    def __init__(self, n: int) -> None:
        random = np.random.default_rng(0)
        self.images = [random.integers(0, 256, (40 + i % 5, 50 - i % 7, 3), np.uint8) for i in range(n)]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.images[i]


PICTURES = Pictures(50)
BASE = Policy("base", 1.0, "both").transform(32)


def training(workers: int = 0, **changes) -> Feed:
    settings = {"batch_size": 8, "seed": 3, "workers": workers, "drop_last": True} | changes
    return Feed(PICTURES, np.arange(50), 32, settings.pop("transform", BASE), **settings)


def batches_of(feed: Feed, epoch: int, first_step: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(feed.epoch(epoch, first_step))


def same(some: list, others: list) -> bool:
    pairs = zip(some, others, strict=True)
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in pairs)


def test_batches_are_uint8_in_channels_last_memory_with_the_rows_beside_them():
    with training() as feed:
        images, rows = batches_of(feed, 0)[0]
    assert images.shape == (8, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert rows.dtype == torch.int64
    for image, row, seed in zip(images, rows.tolist(), image_seeds(3, 0, rows.numpy()).tolist(), strict=True):
        assert np.array_equal(image.permute(1, 2, 0), BASE(PICTURES[row], seed))


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_whatever_the_number_of_workers(workers):
    with training(0) as alone, training(workers) as together:
        for epoch in (0, 1, 5):
            assert same(batches_of(alone, epoch), batches_of(together, epoch))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_entered_in_the_middle_gives_exactly_the_rest(workers):
    with training(workers) as feed:
        whole = batches_of(feed, 4)
    with training(workers) as feed:
        assert same(batches_of(feed, 4, first_step=2), whole[2:])
        assert batches_of(feed, 4, first_step=feed.steps_per_epoch) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_left_half_way_does_not_disturb_the_next(workers):
    with training(workers) as feed:
        expected = batches_of(feed, 1)
        for _ in range(3):
            next(feed.epoch(0))
            assert same(batches_of(feed, 1), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_may_be_kept(workers):
    with training(workers) as feed:
        kept = batches_of(feed, 0)
        copies = [(images.clone(), rows.clone()) for images, rows in feed.epoch(0)]
        batches_of(feed, 1)
        assert same(kept, copies)


def test_every_epoch_and_every_seed_has_its_own_order_and_crops():
    with training() as feed, training(seed=4) as other:
        first, second, third = (batches_of(f, e) for f, e in ((feed, 0), (feed, 1), (other, 0)))
    orders = [torch.cat([rows for _, rows in batches]).tolist() for batches in (first, second, third)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    seeds = [image_seeds(seed, epoch, np.arange(50)) for seed, epoch in ((3, 0), (3, 1), (4, 0), (0, 3))]
    assert len(np.unique(np.concatenate(seeds))) == 200


def test_an_image_is_varied_the_same_whoever_else_is_in_the_feed():
    with training() as feed, Feed(PICTURES, np.array([7, 9]), 32, BASE, 2, seed=3) as pair:
        everything = {
            int(row): image for images, rows in feed.epoch(2) for image, row in zip(images, rows, strict=True)
        }
        for images, rows in pair.epoch(2):
            for image, row in zip(images, rows.tolist(), strict=True):
                assert row not in everything or torch.equal(image, everything[row])


def test_evaluation_keeps_the_order_and_the_last_batch():
    rows = np.array([5, 3, 9, 30, 2])
    with Feed(PICTURES, rows, 32, evaluation_transform(32), 2, seed=0, workers=2, shuffle=False) as feed:
        assert feed.steps_per_epoch == 3
        batches = batches_of(feed, 0)
        assert same(batches, batches_of(feed, 1))
    assert torch.cat([rows for _, rows in batches]).tolist() == rows.tolist()
    assert len(batches[-1][0]) == 1


def test_steps_are_counted_with_and_without_the_last_batch():
    assert training().steps_per_epoch == 6
    assert training(drop_last=False).steps_per_epoch == 7
    with Feed(PICTURES, np.array([], int), 32, BASE, 8, seed=0) as feed:
        assert feed.steps_per_epoch == 0
        assert batches_of(feed, 0) == []


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with training(2) as feed:
        batches_of(feed, 0)
        batches_of(feed, 1)
    assert torch.equal(before, torch.get_rng_state())


def test_a_training_and_a_validation_feed_live_side_by_side():
    with training(2) as train, training(1, shuffle=False, transform=evaluation_transform(32)) as valid:
        expected_train, expected_valid = batches_of(train, 0), batches_of(valid, 0)
        for pair in zip(train.epoch(0), valid.epoch(0), expected_train, expected_valid, strict=True):
            assert same(pair[:2], pair[2:])


def test_close_ends_the_workers_and_a_later_epoch_starts_new_ones():
    feed = training(2)
    half_read = feed.epoch(0)
    next(half_read)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    feed.close()
    assert not any(worker.is_alive() for worker in workers)
    assert len(batches_of(feed, 0)) == 6
    feed.close()
    feed.close()


def test_a_worker_that_dies_is_one_clear_error():
    with training(2) as feed:
        epoch = feed.epoch(0)
        next(epoch)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        time.sleep(0.5)  # in a step, say, or a file: it is told at a batch
        with pytest.raises(MachineError, match="a worker of the feed died: DataLoader worker"):
            [batches_of(feed, 1) for _ in range(20)]
    assert not multiprocessing.active_children()


def begin_without_parent(worker: int, begin=feed_module.begin) -> None:
    """Before torch's worker has looked who its parent is."""
    Path("worker").write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGKILL)
    begin(worker)


def test_a_worker_ends_with_its_parent_however_early_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(feed_module, "begin", begin_without_parent)
    parent = multiprocessing.get_context("fork").Process(target=lambda: batches_of(training(1), 0))
    parent.start()
    parent.join()
    assert parent.exitcode == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while started(int(Path("worker").read_text())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not started(int(Path("worker").read_text()))


def faulty(image: np.ndarray, seed: int) -> np.ndarray:
    raise RuntimeError("a bug in a transform")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_transform_is_shown_as_it_is(workers):
    with training(workers, transform=faulty) as feed, pytest.raises(RuntimeError, match="a bug in a transform"):
        batches_of(feed, 0)


class RawFiles:
    """What the cache stands for: the files themselves, decoded in full."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __getitem__(self, i: int) -> np.ndarray:
        return read_rgb(self.paths[i])


@pytest.mark.parametrize(
    ("name", "size", "format", "allowed"),
    [
        ("cassava", 256, "raw", 2),
        ("melanoma", 128, "raw", 2),
        ("melanoma", 128, "jpeg", 2),
        ("cassava", 256, "jpeg", 2.5),  # leaves in full sun are as hard as it gets, and the JPEG adds its own
    ],
)
def test_batches_from_the_cache_are_those_from_the_raw_files_within_two_grey_levels(
    tmp_path, name, size, format, allowed
):
    paths = sorted((SHARED / name).rglob("*.jpg"))[:40]
    if not paths:
        pytest.skip(f"the shared {name} photographs are not here")
    table = pd.DataFrame({"id": [path.stem for path in paths], "path": [str(path) for path in paths]})
    cache = prepare(table, name, size, tmp_path, format=format, workers=2)
    rows = np.arange(len(paths))
    transform = Policy("base", flips="both").transform(size)
    cached = Feed(cache, rows, size, transform, 5, seed=1, workers=1)
    raw = Feed(RawFiles(paths), rows, size, transform, 5, seed=1, workers=1)
    with cached, raw:
        pairs = [pair for epoch in range(4) for pair in zip(cached.epoch(epoch), raw.epoch(epoch), strict=True)]
    differences = [(a.int() - b.int()).abs().float().mean() for (a, _), (b, _) in pairs]
    assert float(torch.stack(differences).mean()) < allowed


def sparse_cache(folder: Path, n: int) -> Cache:
    """A cache of `n` black images of 160×160, which takes no disk."""
    folder.mkdir()
    length = 160 * 160 * 3
    entries = np.zeros(n, ENTRY)
    entries["offset"], entries["length"] = np.arange(n) * length, length
    entries["height"] = entries["width"] = 160
    entries["crc"] = zlib.crc32(bytes(length))
    np.save(folder / "index.npy", entries)
    with open(folder / "pixels.bin", "wb") as file:
        file.truncate(n * length)
    facts = {"ids": [str(i) for i in range(n)], "skipped": [], "fingerprint": "", "format": "raw", "input_size": 128}
    (folder / "cache.json").write_text(json.dumps(facts))
    return Cache(folder)


def corner(image: np.ndarray, seed: int) -> np.ndarray:
    return image[:128, :128]


def peak_memory(cache: Cache) -> int:
    """Largest resident memory of the feed's worker by the end of one epoch, in bytes."""
    with Feed(cache, np.arange(len(cache)), 128, corner, 64, seed=0, workers=1) as feed:
        for _ in feed.epoch(0):
            pass
        (worker,) = multiprocessing.active_children()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def test_peak_memory_does_not_grow_with_the_number_of_images(tmp_path):
    few, many = (peak_memory(sparse_cache(tmp_path / str(n), n)) for n in (2_000, 20_000))
    assert many - few < 100e6  # what is mapped between two releases varies; the 18,000 images between are 1.4 GB


PHOTOGRAPHS = 24


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def stored(request, tmp_path_factory) -> Cache:
    """A cache of drawn photographs of different shapes: raw ones are looked up in place, JPEGs are streamed."""
    folder, random = tmp_path_factory.mktemp(request.param), np.random.default_rng(0)
    for i in range(PHOTOGRAPHS):
        coarse = random.integers(0, 256, (7, 9, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(coarse, (90 + i, 110 - i), interpolation=cv2.INTER_CUBIC))
    table = pd.DataFrame(
        {"id": map(str, range(PHOTOGRAPHS)), "path": [f"{folder}/{i}.png" for i in range(PHOTOGRAPHS)]}
    )
    return prepare(table, "drawn", 32, folder, format=request.param, workers=1)


def both(cache: Cache, policy: str = "base", **changes) -> tuple[Feed, DeviceFeed]:
    settings = {"batch_size": 5, "seed": 2, "workers": 0} | changes
    transform = Policy(policy, 1.0, "both").transform(32)
    return tuple(kind(cache, np.arange(PHOTOGRAPHS), 32, transform, **settings) for kind in (Feed, DeviceFeed))


@pytest.mark.parametrize("policy", ["none", "base", "paper-aptos", "randaugment", "augmix"])
def test_the_device_feed_gives_the_same_batches_to_within_two_grey_levels(stored, policy):
    workers, device = both(stored, policy, weights=np.arange(1.0, PHOTOGRAPHS + 1))
    with workers, device:
        assert device.steps_per_epoch == workers.steps_per_epoch == 5
        differences = []
        for ours, theirs in zip(device.epoch(3), workers.epoch(3), strict=True):
            assert torch.equal(ours[1], theirs[1])
            assert ours[0].shape == theirs[0].shape
            assert ours[0].dtype == torch.uint8
            assert ours[0].is_contiguous(memory_format=torch.channels_last)
            differences.append((ours[0].int() - theirs[0].int()).abs().float().mean())
        assert torch.stack(differences).mean() < 2


def test_the_device_feed_gives_the_same_bytes_whatever_the_workers_and_wherever_it_is_entered(stored):
    with both(stored, "heavy")[1] as alone, both(stored, "heavy", workers=2)[1] as together:
        expected = batches_of(alone, 1)
        assert same(batches_of(together, 1), expected)
        assert same(batches_of(together, 1, first_step=3), expected[3:])
        next(together.epoch(0))
        assert same(batches_of(together, 1), expected)
        assert batches_of(together, 1, first_step=5) == []


@pytest.mark.slow
def test_a_compiled_lookup_gives_the_same_bytes(stored):
    with both(stored, "heavy")[1] as plain, both(stored, "heavy")[1] as compiled:
        compiled._look = Compiled(look, pytest.fail)
        assert same(batches_of(compiled, 0), batches_of(plain, 0))


def test_shares_of_the_device_feed_make_up_its_batches(stored):
    whole, *shares = (both(stored, "randaugment", share=share)[1] for share in ((0, 1), (0, 2), (1, 2)))
    with whole, shares[0], shares[1]:
        for (images, rows), *parts in zip(whole.epoch(0), *(share.epoch(0) for share in shares), strict=True):
            for first, (some, of_rows) in enumerate(parts):
                assert torch.equal(rows[first::2], of_rows)
                assert torch.equal(images[first::2], some)


def test_images_lie_on_the_device_once_for_all_feeds_and_are_streamed_where_they_do_not_fit(tmp_path, monkeypatch):
    cache = sparse_cache(tmp_path / "black", PHOTOGRAPHS)
    training, validation = pixels_of(cache, torch.device("cpu")), pixels_of(cache, torch.device("cpu"))
    assert isinstance(training, Resident)
    assert training is validation
    monkeypatch.setattr("common.pixels.fits", lambda cache, device: False)
    another = Cache(cache.folder)
    with DeviceFeed(another, np.arange(PHOTOGRAPHS), 128, Policy("base").transform(128), 8, seed=0, workers=0) as feed:
        assert all(not images.any() for images, _ in feed.epoch(0))
        assert isinstance(feed._pixels, Streamed)


def test_several_caches_are_fed_to_the_device_as_one(stored):
    twice = concatenate([stored, Cache(stored.folder)])
    rows = np.array([1, PHOTOGRAPHS + 1, 5, PHOTOGRAPHS + 5])
    with DeviceFeed(twice, rows, 32, evaluation_transform(32), 4, seed=0, workers=0, shuffle=False) as feed:
        ((images, _),) = feed.epoch(0)
    assert torch.equal(images[::2], images[1::2])
    assert not torch.equal(images[0], images[2])


def test_an_image_that_cannot_be_read_is_an_error_of_the_device_feed_too(stored, monkeypatch):
    monkeypatch.setattr("common.pixels.fits", lambda cache, device: False)
    broken = Cache(stored.folder)
    monkeypatch.setattr(broken, "_begin", broken._begin - 1)
    monkeypatch.setattr(broken, "_end", broken._begin)
    with both(broken)[1] as feed, pytest.raises(UserError, match="is damaged"):
        batches_of(feed, 0)


def test_a_run_goes_on_with_the_feed_it_began_with(tmp_path):
    run = open_run(tmp_path, "aptos", Recipe(), "data")
    began = as_begun(run, Options(device="cpu", feed="device"))
    assert began.feed == run.about["feed"] == "device"
    assert isinstance(as_begun(run, Options(device="cpu")).feed_of(PICTURES, [0], 32, BASE, 2, seed=0), DeviceFeed)
    with pytest.raises(UserError, match="began with --feed device"):
        as_begun(run, Options(device="cpu", feed="workers"))


def test_a_cpu_is_fed_by_workers_unless_told_otherwise(tmp_path):
    assert type(Options(device="cpu").feed_of(PICTURES, [0], 32, BASE, 2, seed=0)) is Feed
    run = open_run(tmp_path, "aptos", Recipe(), "data")
    assert as_begun(run, Options(device="cpu")).feed == "workers"
