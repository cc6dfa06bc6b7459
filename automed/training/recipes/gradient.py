"""End-to-end gradient descent: AdamW, warm-up and cosine, averaged weights, early stop.

What is scored and kept is the running average of the weights (Polyak and Juditsky 1992), whose
validation score does not jump from epoch to epoch as that of the weights themselves does: the
best of many noisy epochs on few images is a lucky one, and not a good one.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from automed.problems import Problem, sign
from automed.training.augment import Augmentation
from automed.training.recipes import Fit, Schedule, TrainingFailure, saved, unpacked
from automed.training.tensors import Part, Tensors

EVALUATION_BATCH = 256
DECAY = 0.99
"""Of the running average of the weights: it looks back over about a hundred steps."""


def train(
    network: nn.Module,
    tensors: Tensors,
    problem: Problem,
    schedule: Schedule,
    *,
    epochs: int,
    checkpoint: bytes | None = None,
) -> Fit:
    """See `Recipe.train`. On a GPU it trains in mixed precision."""
    return Run(network, tensors, problem, schedule).train(epochs, checkpoint)


class Run:
    """The state of one training, and its step from epoch to epoch.

    A recipe that descends another cost inherits it and adds to `cost`, `state` and `restore`. Every
    epoch draws from random streams that start from (seed, epoch), so that a checkpoint needs no
    random state and a paused training continues bit for bit.
    """

    def __init__(
        self,
        network: nn.Module,
        tensors: Tensors,
        problem: Problem,
        schedule: Schedule,
    ) -> None:
        device = tensors.device
        self.network = tensors.laid_out_network(network)
        self.average = copy.deepcopy(self.network)
        self._averaged, self._current = _floats(self.average), _floats(self.network)
        self.tensors, self.problem, self.schedule = tensors, problem, schedule
        settings = self.settings = schedule.settings
        batch = min(settings.batch, len(tensors.train))
        # a last batch of one sample has no statistics for batch norm: leave remainders out
        self.steps = len(tensors.train) // batch
        self.batch = batch
        self.total_steps = schedule.full_epochs * self.steps
        truth = tensors.train.truth_on_host
        self.loss = problem.loss(truth, tensors.sample, settings.label_smoothing)
        self.loss = self.loss.to(device)
        decayed = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            fused=True,  # one kernel a step instead of several per tensor, on the CPU too
        )
        self.augment = Augmentation(settings.augment, tensors.sample.image.size)
        self.mixed = device.type == "cuda"
        self.curve: list[dict[str, float]] = []
        self.best = 0
        self.best_weights: dict[str, Any] = {}

    def train(self, epochs: int, checkpoint: bytes | None) -> Fit:
        """Train up to `epochs` of the schedule, from a checkpoint if there is one."""
        if checkpoint is not None:
            self.restore(unpacked(checkpoint, self.tensors.device))
        while len(self.curve) < epochs and not self.stale:
            self.epoch()
        finished = self.stale or len(self.curve) >= self.schedule.full_epochs
        scores = self.curve[self.best]
        return Fit(
            scores={k: v for k, v in scores.items() if k in self.problem.metrics},
            curve=tuple(self.curve),
            epochs=len(self.curve),
            finished=finished,
            checkpoint=saved({"kept": self.best_weights} if finished else self.state()),
        )

    @property
    def stale(self) -> bool:
        """The score has not become better for `patience` of the full schedule."""
        return len(self.curve) - 1 - self.best >= max(
            1.0, self.settings.patience * self.schedule.full_epochs
        )

    def epoch(self) -> None:
        """Train once over the training part, then score the validation part."""
        number = len(self.curve)
        stream = (self.schedule.seed * 1_000_003 + number) % 2**32
        shuffle = torch.Generator().manual_seed(stream + 1)
        order = torch.randperm(len(self.tensors.train), generator=shuffle)
        with torch.random.fork_rng():
            torch.manual_seed(stream)  # dropout
            loss = self._steps(order.to(self.tensors.device), number, stream)
        outputs = self._outputs(self.tensors.val)
        truth = self.tensors.val.truth_on_host
        scores = {k: float(v[0]) for k, v in self.problem.scores(outputs, truth).items()}
        self.curve.append({"epoch": number + 1, "loss": loss, **scores})
        score = self.schedule.score
        gain = scores[score] - self.curve[self.best][score]
        if not self.best_weights or sign(self.problem, score) * gain > 0:
            self.best = number
            self.best_weights = copy.deepcopy(self.average.state_dict())

    def _steps(self, order: torch.Tensor, epoch: int, stream: int) -> float:
        self.network.train()
        part = self.tensors.train
        inputs, truth = self.augment.part(part, self.tensors.sample, stream)
        total = torch.zeros((), device=self.tensors.device)
        for step in range(self.steps):
            rows = order[step * self.batch : (step + 1) * self.batch]
            given = self.tensors.laid_out(tuple(x[rows] for x in inputs))
            done = epoch * self.steps + step
            self._set_rate(done)
            loss = self.cost(given, truth[rows])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            decay = min(DECAY, (1 + done) / (10 + done))  # the first steps are soon forgotten
            torch._foreach_lerp_(self._averaged, self._current, 1 - decay)
            total += loss.detach()
        mean = float(total) / self.steps
        if not math.isfinite(mean):
            raise TrainingFailure(f"the loss became {mean} in epoch {epoch + 1}")
        return mean

    def cost(self, given: tuple[torch.Tensor, ...], truth: torch.Tensor) -> torch.Tensor:
        """What a step descends, of a batch."""
        with self.autocast():
            return cost(self.loss, self.network(*given), truth, given)

    def autocast(self) -> torch.autocast:
        """Mixed precision, where it is faster."""
        return torch.autocast(self.tensors.device.type, torch.bfloat16, enabled=self.mixed)

    def _set_rate(self, step: int) -> None:
        """Linear warm-up, then half a cosine down to zero at the end of the full schedule."""
        warm_up = max(1.0, self.settings.warmup * self.total_steps)
        if step < warm_up:
            share = (step + 1) / warm_up
        else:
            left = max(1.0, self.total_steps - warm_up)
            share = 0.5 * (1 + math.cos(math.pi * (step - warm_up) / left))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * share

    @torch.inference_mode()
    def _outputs(self, part: Part) -> np.ndarray[Any, Any]:
        self.average.eval()
        given = []
        for start in range(0, len(part), EVALUATION_BATCH):
            inputs = self.tensors.laid_out(part.rows(slice(start, start + EVALUATION_BATCH)))
            with self.autocast():
                raw = self.average(*inputs)
            finished = self.problem.finish(raw.float(), *inputs, sample=self.tensors.sample)
            given.append(finished[0].cpu())
        outputs = torch.cat(given).numpy()
        if not np.isfinite(outputs).all():
            raise TrainingFailure(f"outputs are not finite after epoch {len(self.curve) + 1}")
        return outputs

    def state(self) -> dict[str, Any]:
        """Everything that continuing needs."""
        return {
            "kept": self.best_weights,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve,
            "best": self.best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve, self.best = state["curve"], state["best"]
        self.best_weights = state["kept"]


def cost(
    loss: nn.Module, answer: Any, truth: torch.Tensor, given: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """The loss of what a network answers while it is trained: see `Family.build`."""
    raw, penalty = answer if isinstance(answer, tuple) else (answer, 0.0)
    total: torch.Tensor = loss(raw, truth, *given) + penalty
    return total


def _floats(network: nn.Module) -> list[torch.Tensor]:
    """Its weights and running statistics themselves, without what only counts batches."""
    return [x for x in network.state_dict().values() if x.is_floating_point()]
