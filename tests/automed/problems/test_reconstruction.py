"""Metrics of images say what they say, and the exported graph gives raw units back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from automed.data.dataset import Dataset
from automed.data.splits import split
from automed.data.units import in_window
from automed.exporters import onnx_file
from automed.exporters.deployed import Deployed
from automed.problems.reconstruction import LEAST_ERROR, PROBLEM, psnr, ssim, texture
from automed.sample import InputSpec, SampleSpec, TargetSpec

SAMPLE = SampleSpec(
    inputs=(InputSpec(size=(8, 8)),), targets=(TargetSpec(name="target", kind="image"),)
)
SIZES = pytest.mark.parametrize("size", [(40,), (20, 22), (16, 16, 17)], ids=len)


def pair(size, number=3, channels=2, noise=0.1):
    rng = np.random.default_rng(0)
    truth = rng.random((number, channels, *size)).astype(np.float32)
    return (truth + rng.normal(0, noise, truth.shape)).astype(np.float32), truth


@SIZES
def test_psnr_is_that_of_the_noise(size):
    given, truth = pair(size, noise=0.1)
    wanted = [-10 * np.log10(np.mean((a - b) ** 2)) for a, b in zip(given, truth, strict=True)]
    assert psnr(given, truth) == pytest.approx(wanted, abs=1e-4)
    assert psnr(truth, truth) == pytest.approx(-10 * np.log10(LEAST_ERROR))
    assert PROBLEM.scores(truth, truth)["psnr"] == pytest.approx(100)


@SIZES
def test_ssim_is_one_of_equals_and_falls_with_noise(size):
    (little, truth), (much, _) = pair(size, noise=0.02), pair(size, noise=0.2)
    assert ssim(truth, truth) == pytest.approx(1)
    assert (ssim(little, truth) > ssim(much, truth)).all()


def test_ssim_is_the_paper_s():
    given, truth = pair((11, 11), number=1, channels=1)
    offsets = np.arange(11) - 5
    line = np.exp(-0.5 * (offsets / 1.5) ** 2)
    weights = np.outer(line, line) / line.sum() ** 2  # one window: the whole image
    x, y = given[0, 0].astype(float), truth[0, 0].astype(float)
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    cov = (weights * (x - mx) * (y - my)).sum()
    c1, c2 = 0.01**2, 0.03**2
    wanted = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(given, truth)[0] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("size", [(400,), (20, 22), (16, 16, 17)], ids=len)
def test_texture_tells_a_blur_from_noise_where_psnr_tells_neither(size):
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(0, 0.02, (3, 1, *size)), axis=-1) + 0.5
    truth = (smooth + rng.normal(0, 0.05, smooth.shape)).astype(np.float32)
    noisy = truth + rng.normal(0, 0.1, truth.shape)
    other = smooth + rng.normal(0, 0.05, truth.shape)  # the truth's texture, drawn anew
    assert texture(truth, truth) == pytest.approx(0)
    assert (texture(smooth, truth) < -2).all()
    assert (texture(noisy, truth) > 2).all()
    assert np.abs(texture(other, truth)).max() < 1.5
    assert (psnr(smooth, truth) > psnr(other, truth)).all()
    for worse in (smooth, noisy):
        assert PROBLEM.scores(worse, truth)["texture"] > PROBLEM.scores(other, truth)["texture"]


def test_texture_is_the_ratio_of_the_laplacians_variances():
    x = np.arange(12.0)
    truth = np.stack([x**2, np.zeros(12)])[None] / 144
    given = 3 * truth
    assert texture(given, truth) == pytest.approx(20 * np.log10(3))
    assert texture(given + 0.1, truth) == pytest.approx(20 * np.log10(3))
    assert texture(np.full((1, 1, 8), 0.3), np.zeros((1, 1, 8))) == 0, "flat is as flat as flat"


def test_scores_weigh_samples():
    given, truth = pair((16, 16), number=2)
    given[1] += 0.3
    both, one = (PROBLEM.scores(given, truth, np.array([w])) for w in ([1, 1], [0, 1]))
    assert both["psnr"] > one["psnr"]
    assert both["mae"] < one["mae"]
    assert one["mae"] == pytest.approx(np.abs(given[1] - truth[1]).mean())


def test_shown_are_the_worst_the_median_and_the_best():
    given, truth = pair((16, 16), number=5)
    given += np.array([0.3, 0.0, 0.2, 0.1, 0.05], np.float32)[:, None, None, None]
    shown = PROBLEM.shown(given, truth, TargetSpec(name="target", kind="image", values=2))
    assert [(one.title, one.row) for one in shown] == [("Worst", 0), ("Median", 3), ("Best", 1)]
    answer, true = shown[0].beside
    assert np.array_equal(answer, given[0])
    assert np.array_equal(true, truth[0])


def test_deep_supervision_takes_coarser_answers():
    truth = torch.rand(2, 1, 16, 16)
    loss = PROBLEM.loss(truth.numpy(), SAMPLE, 0.0)
    assert loss(truth, truth) == 0
    assert loss([truth, torch.zeros(2, 1, 8, 8)], truth) > 0


@pytest.mark.parametrize("standardised", [False, True])
def test_the_graph_gives_raw_units_back(standardised):
    window = (-2.0, 3.0) if standardised else (-1000.0, 400.0)
    spec = InputSpec(size=(16, 16), window=window, standardised=standardised)
    network = Deployed(nn.Identity(), replace(SAMPLE, inputs=(spec,)), PROBLEM)
    raw = np.random.default_rng(0).normal(-300, 200, (1, 1, 16, 16)).astype(np.float32)
    given = onnx_file.load(onnx_file.export(network, [spec], {})).outputs(raw)
    windowed, image = given["windowed"], given["reconstruction"]
    inside = (windowed > 0) & (windowed < 1)
    assert inside.mean() > 0.9
    np.testing.assert_allclose(windowed, in_window(raw, spec), atol=1e-5)
    np.testing.assert_allclose(image[inside], raw[inside], atol=0.02)
    answer = PROBLEM.answer(given, TargetSpec(name="target", kind="image"))
    assert np.array_equal(answer.image, image[0])
    assert answer.values["least"] <= answer.values["mean"] <= answer.values["greatest"]


@pytest.mark.parametrize("scales", [1.0, np.geomspace(1, 1e4, 30)], ids=["common", "own"])
def test_a_target_lies_in_the_window_of_its_image(scales):
    rng = np.random.default_rng(0)
    images = rng.normal(5, 1, (30, 1, 16, 16)) * np.reshape(scales * np.ones(30), (30, 1, 1, 1))
    data = Dataset(
        sample=SampleSpec(
            inputs=(InputSpec(size=(16, 16)),),
            targets=(TargetSpec(name="target", kind="image"),),
        ),
        inputs={"image": images},
        targets={"target": images.copy()},
    )
    train = split(data, seed=0).train
    assert train.sample.image.standardised == (np.ptp(scales) > 0)
    np.testing.assert_allclose(train.truth, in_window(train.images, train.sample.image), atol=1e-6)
    assert 0.3 < train.truth.mean() < 0.7
