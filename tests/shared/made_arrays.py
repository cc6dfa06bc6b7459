"""Small archives of arrays, as a user would save them."""

import numpy as np


def saved(folder, **arrays):
    path = folder / "made.npz"
    np.savez(path, **arrays)
    return str(path)


def images(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def labels(count=12):
    return np.arange(count) % 2


def numbers(*shape):
    return np.random.default_rng(1).normal(size=shape)
