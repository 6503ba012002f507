"""What only a GPU shows, as far as it can be seen without one."""

from functools import partial

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from common import command, pixels
from common import predict as predict_module
from common.augment import NAMES, Policy
from common.augment.device import Pictures, augment, work_of
from common.augment.device.histogram import lab_tables
from common.augment.noise import table_on
from common.cache import Cache
from common.data import prepared
from common.errors import UserError
from common.feed import Feed
from common.models.build import Network, build
from common.options import Options
from common.predict import evaluation_feed, predict_outputs
from common.train import ranks
from common.train.fold import Fold
from competitions import load
from tests.small_data import RECIPE, write_small_aptos

APTOS, CPU, GPU = load("aptos"), torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    folder = tmp_path_factory.mktemp("data")
    table = APTOS.read_test(write_small_aptos(folder / "aptos")).assign(source="test")
    return prepared(APTOS, table, RECIPE, Options(cache=folder / "cache", device="cpu", workers=0))[0]


def feed_of(cache: Cache) -> Feed:
    return evaluation_feed(cache, np.arange(len(cache)), RECIPE, Options(device="cpu", workers=0))


def network() -> Network:
    torch.manual_seed(0)
    return build(RECIPE, 5)


def no_memory(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("name", NAMES)
def test_what_augments_is_where_the_images_are(name):
    """Fake tensors have a device and no memory: an operation of two devices fails as it would on a GPU."""
    transform, shapes = Policy(name, 1.0, "both").transform(60), [(70, 80), (64, 99), (90, 60)] * 6
    work = work_of([transform.draw(*shape, 3, seed) for seed, shape in enumerate(shapes)])
    lab_tables.cache_clear()
    table_on.cache_clear()
    try:
        with FakeTensorMode(allow_non_fake_inputs=False):
            side = torch.empty(len(shapes), device=GPU)
            pictures = Pictures(torch.empty(100_000, 3, dtype=torch.uint8, device=GPU), side.long(), side, side)
            images = augment(pictures, work.map(lambda array: torch.from_numpy(array).to(GPU)), 60)
    finally:
        lab_tables.cache_clear()
        table_on.cache_clear()
    assert (images.device, tuple(images.shape)) == (GPU, (18, 3, 60, 60))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_copy_to_a_gpu_is_of_the_pinned_memory_itself(monkeypatch, cache):
    """Torch would copy rows that do not lie side by side once more, to memory that is not pinned, and wait for it."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self.is_contiguous()) or self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)
    every_second = np.arange(8)[::2]
    pixels.on(GPU, every_second)
    pixels.on(GPU, cache.shapes.T[0])
    with feed_of(cache) as feed:
        feed.device = GPU
        feed._on_device(torch.from_numpy(every_second))
    assert pinned == [True] * 3


def test_a_batch_that_does_not_fit_is_predicted_in_parts(monkeypatch, cache):
    predict = partial(predict_outputs, network(), device=CPU, activate=torch.sigmoid)
    with feed_of(cache) as feed:
        whole = predict(feed=feed)
        answer, asked = Network.answer, []

        def with_little_memory(self, inputs, metadata=None):
            asked.append(len(inputs))
            return answer(self, inputs, metadata) if len(inputs) < 3 else no_memory()

        monkeypatch.setattr(Network, "answer", with_little_memory)
        np.testing.assert_allclose(predict(feed=feed), whole, atol=1e-6)
    assert asked == [8, 4, 2, 2, 2, 2, 2, 2], "and the next batch at once in parts that fit"


def test_where_not_even_one_image_fits_it_is_one_line(monkeypatch, cache, capsys):
    monkeypatch.setattr(Network, "answer", no_memory)
    with feed_of(cache) as feed:
        code = command.run(lambda _: predict_outputs(network(), feed, CPU, torch.sigmoid), [])
    assert code == 2
    assert capsys.readouterr().err == (
        "error: the GPU's memory ran out; a smaller --batch-size, --input-size or --backbone takes less\n"
    )


def test_an_epoch_is_validated_in_float32_where_float16_ends(monkeypatch, cache):
    large = network()
    large.classifier.bias.data.fill_(1e5)
    monkeypatch.setattr(predict_module, "autocast", lambda device: torch.autocast("cpu", dtype=torch.float16))
    with feed_of(cache) as feed:
        outputs = predict_outputs(large, feed, CPU, lambda outputs: outputs.float())
    np.testing.assert_allclose(outputs, 1e5, rtol=1e-3)


def test_a_process_that_follows_does_not_wait_for_its_device_at_every_step(monkeypatch, tmp_path):
    fold = Fold.__new__(Fold)
    fold.state_every = fold.last_state = 0.0
    monkeypatch.setattr(fold, "write_state", lambda: pytest.fail("it waits, and writes nothing"), raising=False)
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    fold.save_state_when_due()


def processes_on_gpus(monkeypatch, processes: int, gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    processes_on_gpus(monkeypatch, 2, gpus=1)
    with pytest.raises(UserError, match="2 processes on a machine with GPUs for 1; set GPUS=1, or --device cpu"):
        Options().torch_device()
    assert Options(device="cpu").torch_device() == CPU


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    processes_on_gpus(monkeypatch, 2, gpus=2)
    assert Options().torch_device() == torch.device("cuda", 1)


@pytest.mark.parametrize(("gpus", "chosen"), [(2, [1]), (1, [])])
def test_processes_on_the_cpu_of_a_machine_with_one_gpu_meet_too(monkeypatch, gpus, chosen):
    processes_on_gpus(monkeypatch, 2, gpus)
    asked = []
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    monkeypatch.setattr(ranks.distributed, "init_process_group", lambda backend, timeout: None)
    ranks.join()
    assert asked == chosen
