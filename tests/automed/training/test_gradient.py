"""Gradient descent: what is paused goes on bit for bit, what breaks says so, and it learns."""

import io
import os
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional

from automed import registry
from automed.data.dataset import Dataset
from automed.evaluate import Job, _shared, _tensors
from automed.problems.classification import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.task import Training
from automed.training.recipes import Schedule, TrainingFailure, gradient, kept_weights
from automed.training.tensors import tensors

CPU = torch.device("cpu")


def parts(*size, train=40, val=21, signal=0.0, seed=0, shares=(0.5, 0.5)):
    """Noise, a little brighter where the label is 1."""
    rng = np.random.default_rng(seed)
    sample = SampleSpec(inputs=(InputSpec(size=size),), targets=(TargetSpec(classes=("a", "b")),))

    def part(number):
        labels = (np.arange(number) >= round(number * shares[0])).astype(np.int64)
        images = rng.uniform(0, 1, (number, 1, *size)) + signal * labels.reshape(
            -1, *(1 for _ in size), 1
        )
        return Dataset(
            sample=sample,
            inputs={"image": images.astype(np.float32)},
            targets={"label": labels},
        )

    return tensors(part(train), part(val), CPU)


def network(given, seed=0, family="resnet", **config):
    small = {"width": 4, "stages": 2, "depth": 1, "dropout": 0.3}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return registry.family(family)(**(small | config)).build(given.sample)


def fit(
    given, net=None, *, epochs, full=None, seed=0, checkpoint=None, problem=PROBLEM, **settings
):
    settings = Training(**({"batch": 8, "patience": 1.0} | settings))
    return gradient.train(
        network(given) if net is None else net,
        given,
        problem,
        Schedule(settings=settings, score="auc", full_epochs=full or epochs, seed=seed),
        epochs=epochs,
        checkpoint=checkpoint,
    )


def unpacked(checkpoint):
    return torch.load(io.BytesIO(checkpoint), weights_only=True)


def equal(first, second):
    """Whether two nested checkpoints hold the same bits."""
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


@pytest.mark.parametrize("size", [(16, 16), (12, 18), (8, 8, 8)], ids=str)
@pytest.mark.parametrize("pauses", [(2,), (1, 2, 3, 4), (4,)])
def test_paused_and_continued_is_bit_for_bit_uninterrupted(size, pauses):
    given = parts(*size)
    for full in (5, 7):  # finished at 5 epochs, and paused once more
        straight = fit(given, epochs=5, full=full)
        checkpoint = None
        for epochs in (*pauses, 5):
            torch.manual_seed(epochs)  # another process has another global state
            broken = fit(given, epochs=epochs, full=full, checkpoint=checkpoint)
            checkpoint = broken.checkpoint
        assert broken.curve == straight.curve
        assert broken.scores == straight.scores
        assert (broken.epochs, broken.finished) == (5, full == 5)
        assert equal(unpacked(broken.checkpoint), unpacked(straight.checkpoint))
        assert equal(kept_weights(broken.checkpoint), kept_weights(straight.checkpoint))
    parts_of_it = {"kept", "network", "average", "optimizer", "curve", "best"}
    assert set(unpacked(straight.checkpoint)) == parts_of_it


def test_dropout_and_augmentation_were_on():
    given = parts(16, 16)
    full = fit(given, epochs=1).curve[0]["loss"]
    assert full != fit(given, epochs=1, augment=()).curve[0]["loss"]
    assert full != fit(given, network(given, dropout=0.0), epochs=1).curve[0]["loss"]


def test_seed_decides():
    given = parts(16, 16)
    first, again, other = (fit(given, epochs=3, seed=seed) for seed in (0, 0, 1))
    assert first.curve == again.curve
    assert equal(unpacked(first.checkpoint), unpacked(again.checkpoint))
    assert first.curve != other.curve
    assert not equal(unpacked(first.checkpoint), unpacked(other.checkpoint))


def test_training_leaves_the_global_random_state_alone():
    given = parts(16, 16)
    net = network(given)
    state = torch.get_rng_state()
    fit(given, net, epochs=1)
    assert torch.equal(state, torch.get_rng_state())


def test_training_leaves_its_data_alone():
    given = parts(16, 16)
    before = [given.train.inputs[0].clone(), given.train.truth.clone(), given.val.inputs[0].clone()]
    fit(given, epochs=2)
    after = [given.train.inputs[0], given.train.truth, given.val.inputs[0]]
    assert all(map(torch.equal, before, after))


def test_huge_learning_rate_fails_with_its_epoch():
    with pytest.raises(TrainingFailure, match=r"(loss became|not finite).* epoch [123]"):
        fit(parts(16, 16), epochs=3, learning_rate=1e38, warmup=0.0)


def test_broken_weights_fail_in_the_first_epoch():
    given = parts(16, 16)
    net = network(given)
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingFailure, match=r"the loss became nan in epoch 1$"):
        fit(given, net, epochs=3)


def test_outputs_that_are_not_finite_fail():
    given = parts(16, 16)
    net = network(given, dropout=0.0)
    norm = next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    norm.running_var.fill_(float("inf"))  # training does not read it, inference does
    norm.running_mean.fill_(float("inf"))
    with pytest.raises(TrainingFailure, match="not finite after epoch 1"):
        fit(given, net, epochs=3)


def test_the_running_average_of_the_weights_is_kept():
    given = parts(16, 16)
    net = network(given)
    name, weight = next(iter(net.named_parameters()))
    weights = [weight.detach().clone()]

    class Spy(torch.optim.AdamW):
        def step(self, closure=None):
            super().step(closure)
            weights.append(weight.detach().clone())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient.torch.optim, "AdamW", Spy)
        found = fit(given, net, epochs=1)
    wanted, *seen = weights
    for step, current in enumerate(seen):
        wanted = wanted.lerp(current, 1 - min(0.99, (1 + step) / (10 + step)))
    assert torch.allclose(kept_weights(found.checkpoint)[name], wanted, atol=1e-6)
    assert not torch.allclose(wanted, seen[-1], atol=1e-4)


def test_early_stop_keeps_the_best_weights():
    given = parts(16, 16)  # noise: the score cannot rise for long
    found = fit(given, epochs=40, patience=0.05)
    aucs = [point["auc"] for point in found.curve]
    best = int(np.argmax(aucs))
    assert found.finished
    assert found.epochs == len(found.curve) == best + 3 < 40
    assert found.scores == {k: found.curve[best][k] for k in PROBLEM.metrics}
    again = network(given, seed=9)
    again.load_state_dict(kept_weights(found.checkpoint))
    again = again.to(memory_format=given.memory_format).eval()
    with torch.inference_mode():
        outputs = (
            again(given.val.inputs[0].to(memory_format=given.memory_format)).softmax(1).numpy()
        )
    scores = PROBLEM.scores(outputs, given.val.truth_on_host)
    assert {k: v[0] for k, v in scores.items()} == pytest.approx(dict(found.scores))


def test_of_an_error_the_epoch_with_the_least_is_kept():
    class Turned(type(PROBLEM)):
        errors = frozenset({"auc"})

    given = parts(16, 16, signal=0.3)
    done = fit(given, epochs=6, problem=Turned())
    aucs = [e["auc"] for e in done.curve]
    assert done.scores["auc"] == min(aucs) < max(aucs)


def test_early_stop_does_not_depend_on_pauses():
    given = parts(16, 16)
    straight = fit(given, epochs=40, patience=0.05)
    checkpoint, finished, epochs = None, False, 0
    while not finished:
        epochs += 1
        paused = fit(given, epochs=epochs, full=40, patience=0.05, checkpoint=checkpoint)
        checkpoint, finished = paused.checkpoint, paused.finished
    assert paused.curve == straight.curve
    assert equal(unpacked(paused.checkpoint), unpacked(straight.checkpoint))


def test_finished_checkpoint_holds_the_kept_weights_alone():
    given = parts(16, 16)
    finished, paused = fit(given, epochs=2), fit(given, epochs=2, full=3)
    assert finished.finished
    assert not paused.finished
    assert list(unpacked(finished.checkpoint)) == ["kept"]
    assert len(finished.checkpoint) < len(paused.checkpoint)
    assert set(kept_weights(paused.checkpoint)) == set(network(given).state_dict())


def test_loss_weighs_classes_by_the_training_labels():
    given = parts(16, 16, train=40, shares=(0.9, 0.1))
    net = network(given, dropout=0.0)
    counts = np.array([36, 4])
    weight = torch.tensor(np.sqrt(counts.mean() / counts), dtype=torch.float32)
    with torch.no_grad():
        raw = net.train()(given.train.inputs[0])
        wanted = functional.cross_entropy(raw, given.train.truth, weight=weight).item()
        plain = functional.cross_entropy(raw, given.train.truth).item()
    first = fit(
        given,
        network(given, dropout=0.0),
        epochs=1,
        batch=40,
        augment=(),
        learning_rate=1e-12,
    ).curve[0]["loss"]
    assert first == pytest.approx(wanted, rel=1e-5)
    assert abs(wanted - plain) > 1e-3


def test_rate_warms_up_and_ends_at_zero():
    given = parts(16, 16)
    rates = []

    class Spy(torch.optim.AdamW):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient.torch.optim, "AdamW", Spy)
        fit(given, epochs=4, learning_rate=0.01, warmup=0.25)
    assert len(rates) == 4 * 5
    assert rates[:5] == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert max(rates) == pytest.approx(0.01)
    assert 0 <= rates[-1] < 0.05 * 0.01


@pytest.mark.parametrize("count", [2, 3, 9, 17])
def test_a_last_batch_of_one_sample_is_safe(count):
    """Batch norm has no statistics for one sample of one pixel."""
    given = parts(16, 16, train=count, val=4)
    net = network(given, stages=4, stem="stride4")
    found = fit(given, net, epochs=2, batch=8)
    assert np.isfinite([point["loss"] for point in found.curve]).all()


def test_validation_is_scored_in_full():
    given = parts(16, 16, train=8, val=gradient.EVALUATION_BATCH + 1)
    assert fit(given, epochs=1).finished


class Foreign:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_foreign_objects_in_a_checkpoint_are_not_unpickled(tmp_path):
    trap = tmp_path / "sprung"
    buffer = io.BytesIO()
    torch.save({"kept": {}, "network": Foreign(str(trap))}, buffer)
    given = parts(16, 16)
    for use in (kept_weights, lambda content: fit(given, epochs=1, checkpoint=content)):
        with pytest.raises(pickle.UnpicklingError):
            use(buffer.getvalue())
    assert not trap.exists()


def test_volumes_are_learnt():
    found = fit(parts(10, 10, 10, signal=0.3), epochs=6)
    assert found.curve[-1]["loss"] < found.curve[0]["loss"]
    assert found.scores["auc"] > 0.9


def test_the_phantom_is_learnt():
    job = Job(task=registry.task("lung-ct"), data="phantom:lung-ct?patients=60&seed=1")
    given = _tensors(_shared(job))
    net = network(given, family="vgg", width=8, stages=3, dropout=0.0)
    found = fit(given, net, epochs=6, batch=16)
    assert found.scores["auc"] > 0.7
    assert found.curve[-1]["loss"] < 0.95 * found.curve[0]["loss"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("size", [(16, 16), (8, 8, 8)], ids=str)
def test_a_gpu_trains_pauses_and_learns(size):
    host = parts(*size, signal=0.3)
    device = torch.device("cuda")
    given = tensors(_dataset(host, host.train), _dataset(host, host.val), device)
    half = fit(given, network(given), epochs=3, full=6)
    whole = fit(given, network(given), epochs=6, full=6, checkpoint=half.checkpoint)
    assert whole.finished
    assert whole.scores["auc"] > 0.8
    assert {w.device.type for w in kept_weights(whole.checkpoint).values()} == {"cpu"}


def _dataset(given, part):
    return Dataset(
        sample=given.sample,
        inputs={"image": part.images.numpy()},
        targets={"label": part.truth_on_host},
    )
