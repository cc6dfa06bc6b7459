"""Exported classical classifiers answer as scikit-learn's own, whatever a sample holds."""

import numpy as np
import onnx
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from automed import baselines, data, registry
from automed.baselines.classifiers import NUM_TREES
from automed.data.dataset import Dataset
from automed.errors import UnknownNameError
from automed.exporters import MAX_DIFFERENCE, outputs
from automed.exporters.onnx_runtime import Model
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.task import CLASSICAL

NAMES = registry.part("problem", "classification").PROBLEM.classical
every_name = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def parts():
    source = "phantom:lung-ct?patients=30&seed=1"
    return data.open_parts(data.Source(place=source))


def flat(given):
    return np.concatenate([x.reshape(len(x), -1).astype(np.float32) for x in given], axis=1)


def probabilities(name, train, given, seed):
    """As scikit-learn's user would come by them."""
    if name == "random-forest":
        model = RandomForestClassifier(NUM_TREES, random_state=seed)
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    return model.fit(flat(train.given), train.truth).predict_proba(flat(given))


def drawn(*inputs, number=60):
    """Samples of these inputs whose class of three shows in every value."""
    rng = np.random.default_rng(0)
    labels = np.arange(number) % 3
    shown = {
        spec.name: rng.normal(size=(number, *spec.shape))
        + labels.reshape(-1, *(1 for _ in spec.shape))
        for spec in inputs
    }
    return Dataset(
        sample=SampleSpec(inputs=inputs, targets=(TargetSpec(classes=tuple("abc")),)),
        inputs=shown,
        targets={"label": labels},
    )


def test_every_classical_name_has_a_fit_and_a_problem():
    assert set(baselines.FITS) == set(CLASSICAL)
    problems = [registry.part("problem", name).PROBLEM for name in registry.names("problem")]
    assert {name for problem in problems for name in problem.classical} == set(CLASSICAL)


@every_name
def test_real_images_give_scikit_learns_probabilities(name, parts):
    runner = Model(baselines.fit(name, parts.train, 3))
    given = outputs(runner, parts.val.given)
    wanted = probabilities(name, parts.train, parts.val.given, 3)
    np.testing.assert_allclose(given, wanted, atol=MAX_DIFFERENCE)
    assert np.ptp(given[:, 1]) > 0.1
    runner.rehearse()


@every_name
def test_one_raw_image_in_and_probabilities_out(name, parts):
    graph = onnx.load_from_string(baselines.fit(name, parts.train, 0)).graph
    (image,), (_,) = graph.input, graph.output
    assert image.name == "image"
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 1, 32, 32]


@every_name
@pytest.mark.parametrize(
    "inputs",
    [
        (InputSpec(size=(4, 5, 6)),),
        (InputSpec(name="signal", size=(32,), channels=2),),
        (InputSpec(name="table", kind="table", channels=7),),
        (InputSpec(size=(8, 9)), InputSpec(name="table", kind="table", channels=7)),
        (InputSpec(name="table", kind="table", channels=1), InputSpec(size=(8, 9), channels=3)),
    ],
    ids=["volume", "signal", "table", "image and table", "table and image"],
)
def test_whatever_a_sample_holds(name, inputs):
    train = drawn(*inputs)
    runner = Model(baselines.fit(name, train, 0))
    given = outputs(runner, train.given)
    wanted = probabilities(name, train, train.given, 0)
    np.testing.assert_allclose(given, wanted, atol=MAX_DIFFERENCE)
    runner.rehearse()


def test_the_table_has_a_say():
    train = drawn(InputSpec(size=(4, 4)), InputSpec(name="table", kind="table", channels=2))
    images, table = train.given
    runner = Model(baselines.fit("logistic-regression", train, 0))
    assert not np.allclose(runner(images[:1], table[:1]), runner(images[:1], table[1:2]))


def test_unknown_baseline_is_refused(parts):
    with pytest.raises(UnknownNameError, match="did you mean 'random-forest'"):
        baselines.fit("random-forrest", parts.train, 0)
