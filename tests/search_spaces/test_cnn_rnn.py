"""What networks of convolutions and a recurrence promise beyond the contract of every family."""

import pytest
import torch
from torch import Tensor, nn

from automed import registry
from automed.sample import InputSpec, SampleSpec, TargetSpec

TARGETS = (TargetSpec(classes=("benign", "malignant")),)
CNNRNN = registry.family("cnn-rnn")


def network(*size: int, **point: object) -> nn.Sequential:
    sample = SampleSpec(inputs=(InputSpec(size=size),), targets=TARGETS)
    torch.manual_seed(0)
    built = CNNRNN(stages=2, **point).build(sample).eval()
    assert isinstance(built, nn.Sequential)
    return built


def seen(net: nn.Sequential, image: Tensor) -> Tensor:
    """The features (N, T, F) of every piece."""
    features: Tensor = net.get_submodule("pieces")(image)
    return features


def test_slices_are_read_one_by_one_by_the_same_encoder() -> None:
    net = network(16, 24, 20)
    assert not any(isinstance(module, nn.Conv3d) for module in net.modules())
    volume = torch.rand(2, 1, 16, 24, 20)
    features = seen(net, volume)
    assert features.shape[:2] == (2, 16)
    torch.testing.assert_close(seen(net, volume.flip(2)), features.flip(1))
    other = volume.clone()
    other[:, :, 5] = 0
    differs = (seen(net, other) != features).any(2)
    assert differs[:, 5].all()
    assert differs.sum() == 2


def test_columns_of_an_image_and_places_of_a_signal_are_the_sequence() -> None:
    assert seen(network(32, 48, stem="stride2"), torch.rand(2, 1, 32, 48)).shape[:2] == (2, 12)
    assert seen(network(64, stem="stride4"), torch.rand(2, 1, 64)).shape[:2] == (2, 8)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_end_is_the_last_state_of_each_direction(bidirectional: bool) -> None:
    net = network(64, cell="gru", over_time="last", bidirectional=bidirectional)
    features = seen(net, torch.rand(3, 1, 64))
    recurrent = net.get_submodule("states.recurrent")
    _, last = recurrent(features)
    kept = net.get_submodule("over_time")(net.get_submodule("states")(features))
    torch.testing.assert_close(kept, torch.cat(list(last), dim=1))


def test_order_matters_to_the_recurrence() -> None:
    net = network(16, 16, 16, over_time="last")
    volume = torch.rand(2, 1, 16, 16, 16)
    assert not torch.allclose(net(volume), net(volume.flip(2)), atol=1e-4)
