"""Heat maps: drawn around centres, learnt per object, and read back as a list."""

import math

import numpy as np
import pytest
import torch

from automed.problems.heat_map import PRIOR, SLOTS, HeatMapLoss, drawn, maps, peaks, stride_of

CERTAIN = 20.0


def perfect(points, size, stride):
    """The raw output that says exactly these points."""
    grid = [-(-s // stride) for s in size]
    raw = torch.zeros(len(points), 2 + len(size), *grid)
    raw[:, 0] = -CERTAIN
    for row, objects in enumerate(points):
        for *centre, radius in objects:
            place = [(x + 0.5) / stride for x in centre]
            cell = tuple(int(x) for x in place)
            inside = [math.log(f / (1 - f)) for f in np.subtract(place, cell)]
            raw[(row, slice(None), *cell)] = torch.tensor(
                [CERTAIN, math.log(radius / stride), *inside]
            )
    return raw


def padded(points, dims, most=4):
    truth = torch.full((len(points), most, dims + 1), torch.nan)
    for row, objects in enumerate(points):
        for number, one in enumerate(objects):
            truth[row, number] = torch.tensor(one)
    return truth


IN_2D = [[(3.2, 20.1, 2.5), (12.0, 5.3, 4.0)], []]
IN_3D = [[(3.2, 14.1, 8.1, 2.5)], [(12.0, 5.3, 2.2, 4.0), (3.1, 3.2, 15.4, 1.5)]]
cases = pytest.mark.parametrize(
    ("points", "size"), [(IN_2D, (17, 24)), (IN_3D, (16, 18, 19))], ids=["2D", "3D"]
)
strides = pytest.mark.parametrize("stride", [1, 2, 4])


@cases
@strides
def test_what_is_said_is_read_back(points, size, stride):
    centres, radii, scores = peaks(maps(perfect(points, size, stride), size))
    for row, objects in enumerate(points):
        found = scores[row] > 0.5
        assert found.sum() == len(objects)
        listed = torch.cat([centres[row], radii[row, :, None]], 1)[found].tolist()
        for one, known in zip(sorted(listed), sorted(objects), strict=True):
            assert one == pytest.approx(known, abs=1e-3)


@cases
@strides
def test_the_truth_costs_nothing_and_all_else_costs(points, size, stride):
    loss, truth = HeatMapLoss(size), padded(points, len(size))
    raw = perfect(points, size, stride)
    assert loss(raw, truth) < 1e-3
    for channel in range(raw.shape[1]):
        changed = raw.clone()
        changed[:, channel] += 1.0 if channel else -2 * CERTAIN
        assert loss(changed, truth) > 0.05, channel
    assert loss(perfect([[]] * len(points), size, stride), truth) > 10


def test_nothing_to_find_is_learnt_too():
    loss, nowhere = HeatMapLoss((16, 16)), padded([[], []], 2)
    raw = torch.zeros(2, 4, 8, 8, requires_grad=True)
    loss(raw, nowhere).backward()
    assert raw.grad.isfinite().all()
    assert (raw.grad[:, 0] > 0).all()
    assert (raw.grad[:, 1:] == 0).all()


def test_heat_is_one_at_a_centre_and_falls_with_the_radius():
    cells = torch.tensor([[[4, 4], [4, 12], [0, 0]]])
    heat = drawn(cells, torch.tensor([[1.0, 4.0, -1.0]]), (9, 20))[0]
    assert heat[4, 4] == heat[4, 12] == 1
    assert heat[4, 13] > heat[4, 5] > 0
    assert heat[0, 0] < 1e-3
    assert heat.max() == 1


def test_deeper_outputs_count_half():
    truth, loss = padded(IN_2D, 2), HeatMapLoss((16, 24))
    fine, coarse = torch.zeros(2, 4, 8, 12), torch.zeros(2, 4, 4, 6)
    both = loss([fine, coarse], truth)
    assert both == pytest.approx(float(loss(fine, truth) + loss(coarse, truth) / 2))


def test_a_network_begins_by_expecting_little():
    assert maps(torch.zeros(1, 4, 8, 8), (16, 16))[:, 0].max() == pytest.approx(
        1 / (1 + math.exp(-PRIOR))
    )


def test_neighbours_of_a_peak_are_no_objects_and_the_list_has_one_length():
    raw = torch.full((1, 4, 16, 16), -CERTAIN)
    raw[0, 0, 4:7, 4:7] = 1.0
    raw[0, 0, 5, 5] = 2.0
    *_, scores = peaks(maps(raw, (32, 32)))
    assert scores.shape == (1, SLOTS)
    assert (scores > 0.01).sum() == 1
    assert (scores.diff() <= 0).all(), "strongest first"
    assert peaks(maps(raw[..., :4, :4], (8, 8)))[0].shape == (1, 16, 2)


@pytest.mark.parametrize(
    ("grid", "size", "stride"),
    [((17, 23), (17, 23), 1), ((9, 12), (17, 23), 2), ((5, 6), (17, 23), 4), ((2, 3), (16, 24), 8)],
)
def test_strides_are_told_by_sizes(grid, size, stride):
    assert stride_of(grid, size) == stride


def test_a_grid_that_cuts_no_image_is_refused():
    with pytest.raises(ValueError, match="no cells of 2"):
        stride_of((9, 9), (17, 23))
