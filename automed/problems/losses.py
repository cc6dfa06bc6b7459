"""What losses of several problems share."""

from torch import Tensor, nn


class OfAnswer(nn.Module):
    """A loss that compares the raw output with the truth, whatever the inputs were."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, raw: Tensor | list[Tensor], truth: Tensor, *given: Tensor) -> Tensor:
        """The loss of raw output and truth."""
        del given
        compared: Tensor = self.loss(raw, truth)
        return compared
