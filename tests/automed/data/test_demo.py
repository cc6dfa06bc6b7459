import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from automed.data import Source, demo, open_parts
from automed.data.audit import audit
from automed.errors import DataError

MASKED = [name for name, one in demo.DEMOS.items() if one.regions]
LABELLED = [name for name, one in demo.DEMOS.items() if one.classes]
sources = pytest.mark.parametrize("source", demo.DEMOS)


def read(source, target=None, **options):
    target = target or ("label" if source in LABELLED else "mask")
    query = "&".join(f"{name}={value}" for name, value in ({"samples": 60} | options).items())
    return demo.read(f"{source}?{query}", {}, target)


@sources
def test_it_is_sound_and_says_what_it_is(source):
    data = read(source)
    audit(data)
    assert len(data) == 60
    assert "demonstration shapes, not medical" in data.description
    assert "no patient stands behind them" in data.simulated
    assert np.array_equal(np.unique(data.groups, return_counts=True)[1], [4] * 15)
    (spec,) = data.sample.inputs
    assert data.inputs[spec.name].shape == (60, *spec.shape)


@sources
def test_same_seed_same_bits_however_many_there_are(source):
    few, more, other = read(source, seed=4), read(source, seed=4, samples=82), read(source, seed=5)
    assert few.digest() == more.rows(np.arange(60)).digest()
    assert few.digest() != other.digest()
    assert len(more) == 82


@pytest.mark.parametrize("source", MASKED)
def test_masks_cover_the_shape(source):
    data, again = read(source, "mask"), read(source)
    audit(data)
    assert np.array_equal(data.images, again.images)
    assert data.truth.dtype == np.uint8
    assert data.truth.shape == data.images.shape
    assert data.sample.target.classes == demo.DEMOS[source].regions
    assert f"{len(data.sample.target.classes)} classes of pixels" in data.description
    assert all(0.005 < mask.mean() < 0.8 for mask in data.truth)
    inside, outside = data.images[data.truth > 0].mean(), data.images[data.truth == 0].mean()
    assert inside > outside + 0.3


@pytest.mark.parametrize(
    ("source", "target", "names"),
    [
        ("demo:images", "labels", ("lobed", "hollow", "large")),
        ("demo:volumes", "labels", ("lobed", "large")),
        ("demo:images", "value", ("area",)),
        ("demo:volumes", "value", ("volume",)),
        ("demo:table", "value", ("response",)),
    ],
)
def test_findings_and_values_are_those_of_the_same_samples(source, target, names):
    data, labelled = read(source, target), read(source)
    audit(data)
    (spec,) = data.sample.inputs
    assert np.array_equal(data.inputs[spec.name], labelled.inputs[spec.name])
    assert data.sample.target.classes == names
    assert data.truth.shape == (60, len(names))
    if target == "labels":
        assert all(0.1 < share < 0.9 for share in data.truth.mean(axis=0))
        assert np.array_equal(data.truth[:, 0] == 1, labelled.truth == 1)
    if source == "demo:images" and target == "value":
        assert np.array_equal(data.truth[:, 0], read(source, "mask").truth.sum((1, 2, 3)))


@pytest.mark.parametrize("source", LABELLED)
def test_a_line_does_not_tell_the_classes(source):
    data = read(source, samples=400)
    values = data.inputs[data.sample.inputs[0].name].reshape(len(data), -1)
    train = data.groups % 3 > 0
    mean, spread = values[train].mean(axis=0), values[train].std(axis=0)
    scaled = (values - mean) / spread
    line = LogisticRegression(C=1e-2, max_iter=200).fit(scaled[train], data.truth[train])
    chances = line.predict_proba(scaled[~train])
    if chances.shape[1] == 2:
        chances = chances[:, 1]
    assert roc_auc_score(data.truth[~train], chances, multi_class="ovr") < 0.80


@sources
def test_it_is_split_by_subject(source):
    target = "label" if source in LABELLED else "mask"
    parts = open_parts(Source(place=f"{source}?samples=100", target=target))
    assert not set(parts.train.groups) & set(parts.val.groups)
    assert parts.train.simulated


def test_targets_and_options_it_does_not_have_are_refused():
    with pytest.raises(DataError, match="has no mask; what can be learnt of it is: label, value"):
        demo.read("demo:table", {}, "mask")
    with pytest.raises(DataError, match="has no label; what can be learnt of it is: mask"):
        demo.read("demo:atlas", {})
    with pytest.raises(DataError, match="has no points; what can be learnt of it is: label"):
        demo.read("demo:images", {}, "points")
    with pytest.raises(DataError, match="allowed: seed, samples, each once; write for example"):
        demo.read("demo:images?patients=3", {})
    with pytest.raises(DataError, match=r"samples='9' of .* is no whole number from 40"):
        demo.read("demo:images?samples=9", {})


def test_the_bodies_of_an_atlas_differ_more_between_subjects_than_within():
    masks = read("demo:atlas").truth[:, 0]
    apart = [
        np.mean([(masks[a] != masks[b]).mean() for a, b in zip(first, second, strict=True)])
        for first, second in ((range(0, 60, 4), range(1, 60, 4)), (range(56), range(4, 60)))
    ]
    assert 0 < 2 * apart[0] < apart[1]


def test_accepts_by_name():
    assert demo.accepts("demo:signals?seed=1")
    assert not demo.accepts("demo:films")
