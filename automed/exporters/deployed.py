"""What is shipped: windowing, network and final activation in one graph, fed with raw pixels."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automed.sample import InputSpec


class Deployed(nn.Module):
    """A network that takes raw pixels in the units of its input and returns final outputs.

    The network itself resizes where its architecture says so, so that is in the graph too.
    """

    def __init__(
        self,
        network: nn.Module,
        image: InputSpec,
        finish: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__()
        self.network = network
        self._window = image.window
        self._finish = finish

    def forward(self, raw_NCX: torch.Tensor) -> torch.Tensor:  # noqa: D102 - see the class
        return self._finish(self.network(windowed(raw_NCX, self._window)))

    @torch.inference_mode()
    def outputs(self, raw_NCX: NDArray[np.generic], batch: int = 64) -> NDArray[np.float32]:
        """Final outputs for raw images (N, C, *size), computed where the network lies."""
        self.eval()
        device = next(self.parameters()).device
        given = [
            self(torch.from_numpy(raw_NCX[i : i + batch].astype(np.float32)).to(device)).cpu()
            for i in range(0, len(raw_NCX), batch)
        ]
        return torch.cat(given).numpy()


def windowed(raw: torch.Tensor, window: tuple[float, float]) -> torch.Tensor:
    """Raw values mapped so that the window's ends become 0 and 1, and clipped there."""
    low, high = window
    return ((raw - low) * (1.0 / (high - low))).clamp(0.0, 1.0)
