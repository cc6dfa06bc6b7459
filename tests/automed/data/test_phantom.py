import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import nn

from automed.data import cache, phantom, thorax
from automed.errors import DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def full():
    """The default data: windowed pixels, labels, and rows of train and test patients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom, "cached", lambda name, make: make())
        data = phantom.generate()
    low, high = data.sample.image.window
    pixels = np.clip((data.images.astype(np.float32) - low) / (high - low), 0, 1)
    order = np.random.default_rng(0).permutation(data.groups.max() + 1)
    count = len(order)
    train, test = order[: int(0.6 * count)], order[int(0.8 * count) :]
    return (
        pixels,
        np.asarray(data.truth),
        np.flatnonzero(np.isin(data.groups, train)),
        np.flatnonzero(np.isin(data.groups, test)),
        data,
    )


def test_same_seed_gives_same_bits_and_another_seed_other_ones():
    one, same, other = (phantom.simulate(seed, 4, 3) for seed in (5, 5, 6))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["image"], other["image"])


def test_a_patient_does_not_depend_on_how_many_there_are():
    few, more = phantom.simulate(2, 3, 4), phantom.simulate(2, 5, 4)
    assert np.array_equal(few["image"], more["image"][: len(few["image"])])


def test_global_random_state_is_neither_used_nor_changed():
    np.random.seed(1)
    one = phantom.simulate(0, 2, 2)
    state = np.random.get_state()[1].copy()
    np.random.seed(2)
    assert np.array_equal(one["image"], phantom.simulate(0, 2, 2)["image"])
    np.random.seed(1)
    assert np.array_equal(state, np.random.get_state()[1])


def test_default_data_is_plausible(full):
    _, labels, _, _, data = full
    images = data.images
    assert images.dtype == np.int16
    assert images.shape == (len(data), 1, 32, 32)
    assert labels.dtype == np.int64
    assert data.groups.dtype == np.int64
    assert 1400 <= len(data) <= 2400
    assert images.min() >= -1024
    assert 200 < images.max() <= 1500
    assert -920 < np.median(images) < -780
    assert 0.33 < labels.mean() < 0.42
    assert (np.bincount(data.groups) == 10).all()
    assert data.split is None
    assert data.simulated
    assert "simulated" in data.description


def test_noise_is_correlated(full):
    images = full[4].images[:, 0].astype(float)
    corners = images[:, :8, :8]
    flat = corners[corners.std(axis=(1, 2)) < 60]
    flat = flat - flat.mean(axis=(1, 2), keepdims=True)
    neighbours = (flat[:, :, 1:] * flat[:, :, :-1]).mean() / (flat**2).mean()
    assert len(flat) > 100
    assert neighbours > 0.1


def test_pixels_alone_do_not_tell(full):
    pixels, labels, train, test, _ = full
    flat = pixels.reshape(len(pixels), -1)
    mean, spread = flat[train].mean(axis=0), flat[train].std(axis=0) + 1e-6
    scaled = (flat - mean) / spread
    line = LogisticRegression(C=1e-3, max_iter=300).fit(scaled[train], labels[train])
    assert roc_auc_score(labels[test], line.decision_function(scaled[test])) < 0.80
    forest = RandomForestClassifier(200, random_state=0, n_jobs=1)
    forest.fit(flat[train], labels[train])
    assert roc_auc_score(labels[test], forest.predict_proba(flat[test])[:, 1]) < 0.85


def conv(channels_in, channels_out):
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


def head(channels):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2)]


def tiny_network():
    pool = nn.MaxPool2d(2)
    return nn.Sequential(*conv(1, 4), pool, *conv(4, 4), pool, *conv(4, 4), *head(4))


def good_network():
    layers = []
    for before, width in ((1, 16), (16, 32), (32, 64)):
        pool = [nn.MaxPool2d(2)] if before > 1 else []
        layers += [*pool, *conv(before, width), *conv(width, width)]
    return nn.Sequential(*layers, *head(64))


def trained_auc(network, full, *, epochs=12, batch=32):
    pixels, labels, train, test, _ = full
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    mean, spread = float(pixels[train].mean()), float(pixels[train].std())
    x_NCHW, y_N = torch.from_numpy((pixels - mean) / spread), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-2)
    steps = len(train) // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        order = rng.permutation(train)
        for step in range(steps):
            rows = torch.from_numpy(order[step * batch : (step + 1) * batch])
            x = torch.rot90(x_NCHW[rows], int(rng.integers(4)), (2, 3))
            x = x.flip(3) if rng.uniform() < 0.5 else x
            loss = nn.functional.cross_entropy(network(x), y_N[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        scores = torch.cat([network(part) for part in x_NCHW[torch.from_numpy(test)].split(256)])
    torch.set_num_threads(threads)
    return roc_auc_score(labels[test], (scores[:, 1] - scores[:, 0]).numpy())


@pytest.mark.slow
def test_a_good_network_passes_and_a_tiny_one_does_not(full):
    torch.manual_seed(0)
    tiny = trained_auc(tiny_network(), full)
    good = trained_auc(good_network(), full)
    assert tiny < 0.93
    assert good > 0.95


def test_second_call_reads_the_cache(own_cache, monkeypatch):
    first = phantom.generate(1, 3, 2)
    assert len(list(own_cache.iterdir())) == 1
    monkeypatch.setattr(phantom, "simulate", lambda *_, **__: pytest.fail("simulated again"))
    second = phantom.generate(1, 3, 2)
    assert np.array_equal(first.images, second.images)
    assert np.array_equal(first.truth, second.truth)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped"])
def test_a_corrupt_cache_is_made_anew(own_cache, damage):
    first = phantom.generate(1, 3, 2)
    (file,) = own_cache.iterdir()
    whole = file.read_bytes()
    middle = len(whole) // 2
    broken = {
        "empty": b"",
        "text": b"no archive",
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
    }
    file.write_bytes(broken[damage])
    assert np.array_equal(phantom.generate(1, 3, 2).images, first.images)
    assert file.read_bytes() == whole


def test_an_unwritable_cache_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "file" / "below"))
    assert len(phantom.generate(1, 3, 2)) == 6


def test_cache_never_loads_pickles(own_cache):
    own_cache.mkdir()
    np.savez(own_cache / "x.npz", a=np.array([{"code": 1}], dtype=object))
    assert cache.cached("x", lambda: {"a": np.arange(3)})["a"].tolist() == [0, 1, 2]


def test_source_is_recognised():
    assert phantom.accepts("phantom:lung-ct")
    assert phantom.accepts("phantom:lung-ct?seed=3&patients=50")
    assert not phantom.accepts("phantom:lung-ct2")
    assert not phantom.accepts("data/phantom.npz")


def test_options_reach_the_generator():
    data = phantom.read("phantom:lung-ct?seed=3&patients=4&patches=2", {})
    assert np.array_equal(data.images, phantom.simulate(3, 4, 2)["image"])


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sead=3", "'sead'"),
        ("seed=x", "seed='x'"),
        ("seed=-1", "from 0 to"),
        ("seed=", "seed=''"),
        ("seed", "seed=''"),
        ("patients=1", "from 4 to 2000"),
        ("patients=99999", "from 4 to 2000"),
        ("seed=1&seed=2", "twice"),
    ],
)
def test_bad_options_say_what_is_allowed(query, said):
    with pytest.raises(DataError, match="phantom:lung-ct\\?seed=3") as error:
        phantom.read(f"phantom:lung-ct?{query}", {})
    assert said in str(error.value)


@pytest.mark.parametrize("cut", [phantom.PATCHES, phantom.VOLUMES], ids=lambda cut: cut.what)
def test_masks_outline_nodules(cut):
    data = phantom.generate(0, 20, 5, cut=cut, target="mask")
    arrays = phantom.simulate(0, 20, 5, cut=cut, target="mask")
    masks, labels = data.truth, arrays["label"]
    assert masks.dtype == np.uint8
    assert masks.shape == data.images.shape == (100, 1, *cut.size)
    assert set(np.unique(masks)) == {0, 1}
    assert np.array_equal(masks.any(axis=tuple(range(1, masks.ndim))), labels == 1)
    assert 0.7 < labels.mean() < 0.9
    assert data.sample.target.classes == ("background", "nodule")
    bright = np.array(
        [
            image[mask > 0].mean()
            for image, mask in zip(data.images, masks, strict=True)
            if mask.any()
        ]
    )
    assert (bright > np.median(data.images) + 100).mean() > 0.95


def test_the_mask_is_half_of_the_contrast():
    slab = thorax.Slab(side=33, spacing_mm=0.5, slice_mm=1.0, planes=1)
    slab.hu[:] = -800
    ball = np.linalg.norm(slab.points, axis=1) - np.float32(4.0)
    slab.paint(ball, 0.0, nodule=True)
    hu, share = slab.planes()
    assert np.array_equal(share > 0.5, hu > -400)
    slab.paint(slab.points[:, 0], 50.0)
    assert not slab.planes()[1][0, :, :16].any()


def test_volumes_continue_from_slice_to_slice():
    images = phantom.simulate(0, 4, 5, cut=phantom.VOLUMES)["image"][:, 0].astype(float)
    assert images.shape == (20, 16, 24, 24)
    beside = np.abs(np.diff(images, axis=1)).mean()
    apart = np.abs(images[:, 8:] - images[:, :8]).mean()
    assert beside < 0.7 * apart


def test_sections_change_no_distance():
    rng = np.random.default_rng(0)
    tubes = np.concatenate([rng.uniform(-9, 9, (40, 6)), rng.uniform(0.5, 2, (40, 2))], axis=1)
    whole, cut = (
        thorax.Slab(side=24, spacing_mm=0.9, slice_mm=12.8, planes=16, sections=n).tubes(tubes)
        for n in (1, 8)
    )
    near = whole < 0.45
    assert near.any()
    np.testing.assert_allclose(cut[near], whole[near], atol=1e-4)
    assert (cut[~near] >= 0.4).all()


def test_voxels_alone_do_not_tell():
    data = phantom.generate(0, 60, 4, cut=phantom.VOLUMES)
    voxels = np.clip((data.images.reshape(240, -1) + 1000.0) / 1400.0, 0, 1)
    train = data.groups < 40
    scaled = (voxels - voxels[train].mean(axis=0)) / (voxels[train].std(axis=0) + 1e-6)
    line = LogisticRegression(C=1e-3, max_iter=300).fit(scaled[train], data.truth[train])
    assert roc_auc_score(data.truth[~train], line.decision_function(scaled[~train])) < 0.80


def test_a_volume_source_and_its_target():
    data = phantom.read("phantom:lung-ct-3d?seed=2&patients=4&patches=3", {}, "mask")
    made = phantom.simulate(2, 4, 3, cut=phantom.VOLUMES, target="mask")
    assert np.array_equal(data.images, made["image"])
    assert np.array_equal(data.truth, made["mask"])
    assert data.sample.image.spacing_mm == (0.8, 0.9, 0.9)
    assert "phantom of the lung" in data.simulated
    with pytest.raises(DataError, match="no field"):
        phantom.read("phantom:lung-ct", {}, "field")


@pytest.mark.parametrize("cut", [phantom.PATCHES, phantom.VOLUMES], ids=lambda cut: cut.what)
def test_a_low_dose_is_the_normal_one_with_more_noise_of_its_kind(cut):
    pairs = phantom.simulate(0, 12, 5, cut=cut, target="image", dose_percent=25)
    usual = phantom.simulate(0, 12, 5, cut=cut)
    assert np.array_equal(pairs["target"], usual["image"])
    more = pairs["image"].astype(float) - pairs["target"]
    sds = more.std(axis=tuple(range(1, more.ndim))).reshape(12, 5).mean(axis=1)
    doses = [
        thorax.draw_patient(np.random.default_rng([0, patient])).noise_hu for patient in range(12)
    ]
    assert sds == pytest.approx(np.sqrt(1 / 0.25 - 1) * np.array(doses), rel=0.2)
    power = (np.abs(np.fft.fft2(more)) ** 2).reshape(-1, *more.shape[-2:]).mean(axis=0)
    assert power[0, 1:3].mean() < 0.4 * power.mean(), "a ramp filter leaves little that is slow"


def test_pairs_say_their_dose_and_share_their_window():
    data = phantom.read("phantom:lung-ct?patients=5&patches=3&dose=10", {}, "image")
    assert data.images.shape == data.truth.shape == (15, 1, 32, 32)
    assert data.sample.target.kind == "image"
    assert data.sample.target.channels == 1
    assert "10 % of the normal dose" in data.description
    with pytest.raises(DataError, match=r"dose.*allowed: seed, patients, patches"):
        phantom.read("phantom:lung-ct?dose=10", {}, "label")
