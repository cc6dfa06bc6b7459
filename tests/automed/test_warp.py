"""Fields move images the way they say, and keep it through a trace."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from automed.warp import affine_fit, along, resized, roughness, warped

sizes = pytest.mark.parametrize("size", [(16, 19), (8, 9, 10)], ids=len)


def random(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@sizes
def test_an_image_is_read_where_the_field_points(size):
    image, field = random(1, 1, *size), 4 * random(1, len(size), *size) - 2
    places = np.indices(size) + field[0].numpy()
    wanted = map_coordinates(image[0, 0].numpy(), places, order=1, mode="nearest")
    np.testing.assert_allclose(warped(image, field, size)[0, 0], wanted, atol=1e-5)


@sizes
def test_a_field_of_zeros_moves_nothing_and_whole_pixels_move_whole(size):
    image, field = random(2, 3, *size), torch.zeros(2, len(size), *size)
    torch.testing.assert_close(warped(image, field, size), image)
    field[:, -1] = 2.0
    torch.testing.assert_close(warped(image, field, size)[..., :-2], image[..., 2:])
    assert roughness(field) == 0


@sizes
def test_the_affine_fit_keeps_what_is_affine_and_is_the_nearest(size):
    dims = len(size)
    axes = torch.stack([along(a, size, torch.device("cpu")).expand(size) for a in range(dims)])
    affine = torch.einsum("ij,j...->i...", random(dims, dims), axes)[None] + 3.0
    torch.testing.assert_close(affine_fit(affine, size), affine, atol=1e-4, rtol=1e-4)
    field = random(1, dims, *size)
    design = np.stack([np.ones(size), *axes.numpy()], -1).reshape(-1, dims + 1)
    solved = np.linalg.lstsq(design, field[0].reshape(dims, -1).numpy().T, rcond=None)[0]
    np.testing.assert_allclose(
        affine_fit(field, size)[0].reshape(dims, -1), (design @ solved).T, atol=1e-4
    )


@sizes
def test_a_field_keeps_its_displacements_on_another_grid(size):
    small = tuple(-(-n // 2) for n in size)
    field = torch.full((1, len(size), *small), 1.5)
    torch.testing.assert_close(resized(field, size), torch.full((1, len(size), *size), 1.5))
    assert resized(field, small) is field
