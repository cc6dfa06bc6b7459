"""Two parts of a data set on a device, windowed once."""

import numpy as np
import pytest
import torch
from torch import nn

from automed import data, evaluate, registry
from automed.data.dataset import Dataset
from automed.evaluate import Job, _shared, _tensors
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.training.tensors import tensors, training_device

CPU = torch.device("cpu")


def part(*size, dtype=np.int16, number=6):
    rng = np.random.default_rng(number)
    image = InputSpec(size=size, units="HU", window=(-1000.0, 400.0))
    return Dataset(
        sample=SampleSpec(inputs=(image,), targets=(TargetSpec(classes=("a", "b")),)),
        inputs={"image": rng.integers(-1024, 1500, (number, 1, *size)).astype(dtype)},
        targets={"label": np.arange(number) % 2},
    )


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("size", [(16, 18), (8, 9, 10)])
def test_images_are_windowed_and_labels_kept(size, dtype):
    train, val = part(*size, dtype=dtype), part(*size, dtype=dtype, number=4)
    given = tensors(train, val, CPU)
    for source, made in ((train, given.train), (val, given.val)):
        wanted = (source.images.clip(-1000, 400).astype(np.float64) + 1000) / 1400
        np.testing.assert_allclose(made.inputs[0], wanted, atol=1e-6)
        assert made.inputs[0].dtype == torch.float32
        assert (made.inputs[0].min(), made.inputs[0].max()) == (0, 1)
        assert made.truth.tolist() == source.truth.tolist() == made.truth_on_host.tolist()
        assert made.truth.dtype == torch.int64
    assert given.device == CPU


def test_the_source_is_not_changed():
    train = part(8, 8, dtype=np.float32)
    before = train.images.copy()
    made = tensors(train, train, CPU)
    made.train.inputs[0].zero_()
    np.testing.assert_array_equal(train.images, before)


def test_memory_format_follows_dimensions_and_device():
    flat, volume = tensors(part(8, 8), part(8, 8), CPU), tensors(part(8, 8, 8), part(8, 8, 8), CPU)
    assert flat.memory_format is torch.channels_last
    assert volume.memory_format is torch.contiguous_format
    flat.train.inputs[0].to(memory_format=flat.memory_format)
    volume.train.inputs[0].to(memory_format=volume.memory_format)


def test_only_convolutions_over_the_whole_image_are_laid_out():
    made = tensors(part(8, 8), part(8, 8), CPU)
    flat, volume = nn.Conv2d(2, 3, 3), nn.Conv3d(2, 3, 3)
    network = made.laid_out_network(nn.Sequential(flat, volume, nn.LSTM(3, 4)))
    assert network[0] is flat
    assert flat.weight.is_contiguous(memory_format=torch.channels_last)
    assert volume.weight.is_contiguous()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_volumes_lie_channels_last_on_a_gpu():
    made = tensors(part(8, 8, 8), part(8, 8, 8), training_device())
    assert made.memory_format is torch.channels_last_3d


def test_a_process_windows_its_data_once():
    job = Job(task=registry.task("lung-ct"), data="phantom:lung-ct?patients=30&seed=1")
    made = _tensors(_shared(job))
    assert _tensors(_shared(job)) is made
    parts = data.open_parts(evaluate.source(job))
    wanted = (parts.train.images.clip(-1000, 400).astype(np.float64) + 1000) / 1400
    np.testing.assert_allclose(made.train.inputs[0], wanted, atol=1e-6)
