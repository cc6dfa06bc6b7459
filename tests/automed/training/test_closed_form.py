"""Closed form: the read-out is the ridge regression that scikit-learn would find, and it learns."""

from types import MappingProxyType

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from automed import registry
from automed.data.dataset import Dataset
from automed.problems.classification import PROBLEM, class_weights
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.task import Training
from automed.training.recipes import Schedule, closed_form, kept_weights
from automed.training.tensors import tensors

CPU = torch.device("cpu")
FAMILIES = [n for n in registry.names("family") if registry.family(n).recipe == "closed-form"]
families = pytest.mark.parametrize("name", FAMILIES)


def parts(*size, train=120, val=60, signal=0.3):
    """Noise with a bright corner in one class, the rarer one."""
    rng = np.random.default_rng(0)
    sample = SampleSpec(inputs=(InputSpec(size=size),), targets=(TargetSpec(classes=("a", "b")),))

    def part(number):
        labels = (np.arange(number) % 3 == 0).astype(np.int64)
        images = rng.uniform(0, 1, (number, 1, *size)).astype(np.float32)
        images[labels == 1, ..., : size[-1] // 2] += signal
        return Dataset(sample=sample, inputs={"image": images}, targets={"label": labels})

    return tensors(part(train), part(val), CPU)


def fit(name, given, seed=0, config=MappingProxyType({}), **settings):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = registry.family(name)(**{"hidden_units": 128, **config}).build(given.sample)
    settings = Training(**({"augment": ("flip", "intensity")} | settings))
    schedule = Schedule(settings=settings, score="auc", full_epochs=9, seed=seed)
    found = closed_form.train(network, given, PROBLEM, schedule, epochs=3)
    return network, found


@families
@pytest.mark.parametrize("size", [(20, 20), (10, 12, 12), (40,)], ids=str)
def test_it_learns_in_one_pass(name, size):
    given = parts(*size)
    before, found = fit(name, given)
    assert found.scores["auc"] > 0.8
    assert (found.epochs, found.finished) == (1, True), "no later epoch could change anything"
    network = registry.family(name)(hidden_units=128).build(given.sample)
    network.load_state_dict(kept_weights(found.checkpoint))
    with torch.inference_mode():
        outputs = network.eval()(*given.val.inputs).softmax(1).numpy()
        assert torch.equal(before(*given.val.inputs), network(*given.val.inputs))
    scores = PROBLEM.scores(outputs, given.val.truth_on_host)
    assert {k: v[0] for k, v in scores.items()} == pytest.approx(dict(found.scores))


@families
def test_the_readout_is_scikit_learns_ridge_regression(name):
    given = parts(16, 16)
    network, _ = fit(name, given, augment=())
    truth = given.train.truth_on_host
    with torch.inference_mode():
        units = network.blocks[0](network.features(*given.train.inputs)).numpy()
        answers = network.readouts[0](torch.from_numpy(units)).numpy()
    weights = class_weights(truth, given.sample.target)[truth]
    ridge = RidgeCV(alphas=closed_form.PENALTIES)
    wanted = ridge.fit(units, np.eye(2)[truth] * 2 - 1, sample_weight=weights).predict(units)
    sharpness = np.abs(answers).sum() / np.abs(wanted).sum()
    np.testing.assert_allclose(answers, sharpness * wanted, atol=1e-3 * sharpness)


def test_samples_that_are_left_out_are_answered_by_a_ridge_of_the_others():
    rng = np.random.default_rng(0)
    units, wanted = rng.normal(size=(12, 20)), rng.normal(size=(12, 2))
    weights = np.tile(rng.uniform(0.5, 2, (12, 1)), 2)
    weights[3, 1] = 0  # not known
    coefficients, intercepts, left_out = closed_form._ridge(
        units, wanted, weights, np.array([0.1, 10.0])
    )
    for column, penalty in enumerate((0.1, 10.0)):
        for row in range(12):
            others = np.arange(12) != row
            ridge = Ridge(penalty).fit(
                units[others], wanted[others, column], sample_weight=weights[others, column]
            )
            assert left_out[row, column] == pytest.approx(ridge.predict(units[[row]])[0])
    assert left_out[3, 1] == pytest.approx(units[3] @ coefficients[1] + intercepts[1])


def test_a_later_block_has_the_penalty_of_the_first_and_sees_answers_to_samples_left_out():
    given = parts(16, 16, train=40, signal=0.1)
    network, _ = fit("dsn", given, config={"stacked": 3})
    truth = given.train.truth_on_host
    wanted, weights = np.eye(2)[truth] * 2 - 1, class_weights(truth, given.sample.target)[truth]
    with torch.inference_mode():
        seen = network.features(*given.train.inputs)
        first = network.blocks[0](seen).numpy()
        penalty = RidgeCV(alphas=closed_form.PENALTIES).fit(first, wanted, weights).alpha_
        left_out = cross_val_predict(
            Ridge(penalty), first, wanted, cv=LeaveOneOut(), params={"sample_weight": weights}
        )
        units = network.blocks[1](torch.cat([seen, torch.from_numpy(left_out).float()], 1)).numpy()
        answers = network.readouts[1](torch.from_numpy(units)).numpy()
    ridge = Ridge(penalty).fit(units, wanted, weights)
    np.testing.assert_allclose(answers, ridge.predict(units), atol=1e-3)


@families
def test_fixed_layers_stay_as_they_were_drawn(name):
    given = parts(16, 16)
    network, _ = fit(name, given)
    torch.manual_seed(0)
    drawn = dict(registry.family(name)(hidden_units=128).build(given.sample).named_parameters())
    for key, parameter in network.named_parameters():
        assert torch.equal(parameter, drawn[key]) == (not key.startswith("readouts")), key


@families
def test_a_seed_decides(name):
    given = parts(16, 16, signal=0.05)
    first, again, other = (fit(name, given, seed=s)[1].scores for s in (0, 0, 1))
    assert first == again != other
