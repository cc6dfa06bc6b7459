"""automed's own strategy: what it spends, what it learns, and what its surrogate believes."""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from automed import api, registry
from automed.errors import StrategyError
from automed.space import Choice, Integer, Real, joint
from automed.strategies.pareto import LOOKS, Pareto, expected_improvement
from automed.strategies.surrogate import KERNELS, MOST, Chain, Encoding, Process, compressed
from automed.task import Direction
from automed.trial import Outcome, Trial

OBJECTIVES: Mapping[str, Direction] = {"auc": "maximize", "latency_ms": "minimize"}
RUNGS = (1, 3, 9)
SPACE = joint(
    {
        "wide": {"width": Integer(1, 30), "act": Choice(("relu", "gelu", "silu"))},
        "deep": {"width": Integer(1, 30), "depth": Integer(1, 9)},
    }
)


def curve(trial: Trial) -> list[float]:
    """AUC by epoch: width is worth it, depth costs latency alone, gelu is best."""
    point = trial.point
    top = 0.6 + int(point["width"]) / 100
    top += 0.05 * (trial.family == "wide") * (point["act"] == "gelu")
    return [top - 0.2 * math.exp(-e / 2) for e in range(1, RUNGS[-1] + 1)]


def latency(trial: Trial) -> float:
    depth = int(trial.point["depth"]) if trial.family == "deep" else 2
    return int(trial.point["width"]) * depth / 10


def outcome(trial: Trial, limit: float = math.inf) -> Outcome:
    ms = latency(trial)
    violations = {} if limit == math.inf else {"latency_ms": ms / limit - 1}
    if trial.epochs == 0 or ms > limit:
        return Outcome(costs={"latency_ms": ms}, violations=violations)
    seen = curve(trial)[: trial.epochs]
    return Outcome(
        scores={"auc": seen[-1]},
        costs={"latency_ms": ms},
        violations=violations,
        epochs=trial.epochs,
        finished=trial.epochs == RUNGS[-1],
        curve=tuple({"auc": v} for v in seen),
    )


def make(*, rungs: tuple[int, ...] = RUNGS, seed: int = 0) -> Pareto:
    made = registry.part("strategy", "pareto").make(
        "", SPACE, OBJECTIVES, rungs=rungs, seed=seed, first=0
    )
    assert isinstance(made, Pareto)
    return made


def searched(strategy: Pareto, number: int, limit: float = math.inf) -> list[Trial]:
    trials = []
    for _ in range(number):
        trial = strategy.ask()
        assert trial is not None
        trials.append(trial)
        strategy.tell(trial, outcome(trial, limit))
    return trials


def test_training_goes_from_rung_to_rung_and_short_ones_take_their_share() -> None:
    trials = searched(make(), 120)
    reached: dict[int, int] = {}
    for trial in trials:
        below = reached.get(trial.number, 0)
        assert trial.epochs == next(r for r in RUNGS if r > below)
        reached[trial.number] = trial.epochs
    spent = Counter(reached.values())
    looks = sum(epochs * n for epochs, n in spent.items() if epochs < RUNGS[-1])
    full = RUNGS[-1] * spent[RUNGS[-1]]
    assert spent[RUNGS[-1]] >= 5
    assert 0.5 * LOOKS < looks / (looks + full) < 1.5 * LOOKS


def test_without_short_trainings_each_is_trained_at_once() -> None:
    trials = searched(make(rungs=RUNGS[-1:]), 60)
    assert {t.epochs for t in trials} == {RUNGS[-1]}


def test_what_is_trained_to_its_end_is_better_than_what_is_not() -> None:
    trials = searched(make(), 120)
    top = {t.number: curve(t)[-1] for t in trials if t.epochs == RUNGS[-1]}
    tried = {t.number: curve(t)[-1] for t in trials if t.epochs == RUNGS[0]}
    assert np.mean(list(top.values())) > np.mean(list(tried.values())) + 0.02


def test_limits_are_learnt() -> None:
    limit = 2.0
    trials = searched(make(rungs=RUNGS[-1:]), 80, limit)
    early, late = trials[:10], trials[40:]
    slow = np.mean([latency(t) > limit for t in early])
    assert slow > 0.4
    assert np.mean([latency(t) > limit for t in late]) < slow / 2


def test_many_workers_are_asked_different_architectures_at_once() -> None:
    strategy = make()
    searched(strategy, 30)
    flying = [strategy.ask() for _ in range(8)]
    points = [str(SPACE.active(t.point)) for t in flying if t is not None]
    assert len(set(points)) == len(points) == 8
    for trial in flying:
        assert trial is not None
        strategy.tell(trial, outcome(trial))
    assert strategy.ask() is not None


@pytest.mark.usefixtures("inline")
def test_a_real_search_trains_the_promising_further_within_its_budget(tmp_path: Path) -> None:
    run = api.search(
        data="phantom:lung-ct?patients=30&seed=1",
        out=tmp_path / "run",
        families=("vgg", "mobile"),
        trials=6,
        epochs=3,
        workers=1,
        baselines=(),
        strategy="pareto",
        executor="inline",
    )
    trials = run.results.trials
    epochs = Counter(t["epochs"] for t in trials if t["state"] == "stopped")
    complete = sum(t["state"] == "complete" for t in trials)
    assert complete >= 3
    assert 1 <= epochs.total() == epochs[1]
    assert 5 < complete + epochs.total() / 3 < 7
    assert run.results.front


def test_two_scores_are_refused() -> None:
    with pytest.raises(StrategyError, match="take optuna:tpe"):
        registry.part("strategy", "pareto").make(
            "", SPACE, {"auc": "maximize", "accuracy": "maximize"}, rungs=RUNGS, seed=0, first=0
        )


def test_expected_improvement_is_what_sampling_gives() -> None:
    means, deviations, best = np.array([0.3, 0.5]), np.array([0.1, 0.02]), np.array([0.2, 0.4, 0.6])
    draws = means + deviations * np.random.default_rng(0).standard_normal((200_000, 2))
    sampled = np.maximum(best[None, None] - draws[:, :, None], 0).mean(0)
    assert expected_improvement(means, deviations, best) == pytest.approx(sampled, abs=1e-3)


def test_encoding_leaves_out_what_has_no_say() -> None:
    space = joint(
        {
            "a": {"kind": Choice(("x", "y")), "rate": Real(1e-4, 1e-2, log=True)},
            "b": {"size": Integer(0, 10)},
        }
    )
    encode = Encoding(space)
    point = {"family": "a", "kind": "y", "rate": 1e-3, "size": 7}
    assert encode(point) == pytest.approx([1, 0, 0, 1, 0.5, 0.5])
    assert encode({**point, "size": 2}) == pytest.approx(encode(point))
    assert encode({**point, "family": "b"}) == pytest.approx([0, 1, 0.5, 0.5, 0.5, 0.7])


def test_what_is_known_of_a_low_rung_helps_at_the_high_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((40, 3))
    low = x @ [1, -1, 0.5] + 0.3 * rng.standard_normal(40)
    high = 0.5 * low + 0.1 * x[:, 0]
    both = np.column_stack([low, np.where(np.arange(40) < 20, high, np.nan)])
    chain = Chain(2)
    chain.fit(x, both, np.zeros(len(x)))
    assert chain.known == 2
    unseen = np.column_stack([low, np.full(40, np.nan)])[20:]
    knowing, sure = chain(x[20:], unseen, np.zeros(20))
    guessing, unsure = chain(x[20:], np.full((20, 2), np.nan), np.zeros(20))
    assert np.abs(knowing - high[20:]).mean() < 0.5 * np.abs(guessing - high[20:]).mean()
    assert (sure < unsure).all()


def test_an_earlier_search_is_believed_as_far_as_it_agrees() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((40, 6))
    true = x @ np.arange(6.0)
    few = np.where(np.arange(40) < 8, true, np.nan)[:, None]

    def error(hints: np.ndarray) -> float:
        chain = Chain(1)
        chain.fit(x, few, hints)
        return float(np.abs(chain(x[8:], few[8:], hints[8:])[0] - true[8:]).mean())

    alone = error(np.zeros(40))
    assert error(3 * true + rng.normal(0, 0.3, 40)) < 0.5 * alone
    assert error(-true) == pytest.approx(alone)  # what says the contrary is not turned round


def test_many_observations_are_thinned_and_the_best_of_them_kept() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.random((3 * MOST, 2)), rng.permutation(3 * MOST).astype(float)
    process = Process(losses=True)
    process.fit(x, y)
    kept = process._fitted[0].X_train_
    assert len(kept) == MOST
    rows = {tuple(row) for row in kept}
    learnt = x * process._stretch
    assert all(tuple(row) in rows for row in learnt[y < MOST // 2])
    assert tuple(learnt[y.argmax()]) in rows


def test_features_that_tell_more_count_for_more() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((60, 6))
    y = np.sin(6 * x[:, 0]) + rng.normal(0, 0.05, 60)
    told = Process()
    told.fit(x, y)
    assert told._stretch[0] > 1.5 * told._stretch[1:].max()
    at = rng.random((200, 6))
    error = np.abs(told(at)[0] - np.sin(6 * at[:, 0])).mean()
    unstretched = GaussianProcessRegressor(KERNELS[2], optimizer=None, normalize_y=True)
    assert error < 0.7 * np.abs(unstretched.fit(x, y).predict(at) - np.sin(6 * at[:, 0])).mean()


def test_a_process_depends_on_what_it_was_taught_last_alone() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((30, 2))
    y = np.sin(5 * x[:, 0])
    once, often = Process(), Process()
    for number in (5, 12, 20, 30):
        often.fit(x[:number], y[:number])
    once.fit(x, y)
    at = rng.random((5, 2))
    assert np.allclose(once(at), often(at))
    assert np.abs(once(at)[0] - np.sin(5 * at[:, 0])).max() < 0.3


def test_hopeless_losses_are_brought_nearer() -> None:
    losses = np.array([0.1, 0.12, 0.15, 0.2, 0.22, 0.25, 5.0])
    near = compressed(losses)
    assert (near[:4] == losses[:4]).all()
    assert (np.diff(near) > 0).all()
    assert 0.25 < near[-1] < 1
