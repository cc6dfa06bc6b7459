"""Random points before a strategy: how many, which, and that the strategy hears of them."""

from toy_search import SPACE

from automed.strategies.random_search import RandomSearch
from automed.strategies.yardstick import DRAWS, Yardstick, numbers_at_random
from automed.task import Budget
from automed.trial import Outcome, Trial

BUDGET = Budget(trials=20, epochs=9, at_random=0.25)
MINE = numbers_at_random(BUDGET, first=3)
GOOD = Outcome(scores={"auc": 0.8}, costs={"latency_ms": 1.0}, epochs=9, finished=True)
OVER = Outcome(costs={"latency_ms": 9.0}, violations={"latency_ms": 2.0})


class Heard(RandomSearch):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__(SPACE, epochs=9, seed=1, first=MINE.stop)
        self.told: list[tuple[Trial, Outcome]] = []

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        self.told.append((trial, outcome))
        super().tell(trial, outcome)


def strategy(inner: Heard, budget: Budget = BUDGET, seed: int = 1) -> Yardstick:
    return Yardstick(inner, SPACE, budget, numbers=MINE, seed=seed)


def asked(strategy: Yardstick, *outcomes: Outcome) -> list[Trial]:
    """What it asks, each told its outcome; the last of them are good."""
    trials = []
    for outcome in outcomes:
        trial = strategy.ask()
        assert trial is not None
        trials.append(trial)
        strategy.tell(trial, outcome)
    return trials


def test_their_share_of_all_trainings_is_drawn_blindly_and_the_strategy_hears_of_all() -> None:
    trials = asked(strategy(heard := Heard()), *[GOOD] * 20)
    assert [place for place, t in enumerate(trials) if t.number in MINE] == [3, 7, 11, 15, 19]
    assert len(MINE) == 5 * DRAWS
    assert [trial for trial, _ in heard.told] == trials
    assert all(trial.epochs == 9 for trial in trials)


def test_one_that_cannot_be_had_makes_room_for_another() -> None:
    trials = asked(strategy(Heard()), GOOD, GOOD, GOOD, OVER, OVER, GOOD, GOOD)
    assert [trial.number for trial in trials if trial.number in MINE] == list(MINE[:3])


def test_one_with_a_worker_is_not_asked_again() -> None:
    blind = strategy(Heard())
    asked(blind, *[GOOD] * 3)
    numbers = [trial.number for trial in (blind.ask(), blind.ask()) if trial is not None]
    assert numbers == [MINE[0], MINE.stop + 3]


def test_rebuilt_from_a_record_it_goes_on_where_it_was() -> None:
    asked(first := strategy(heard := Heard()), *[GOOD] * 10)
    rebuilt = strategy(Heard())
    for trial, outcome in sorted(heard.told, key=lambda pair: pair[0].number):
        rebuilt.tell(trial, outcome)
    assert asked(rebuilt, *[GOOD] * 10) == asked(first, *[GOOD] * 10)


def test_no_share_is_none_and_another_seed_draws_others() -> None:
    none = Budget(trials=20, epochs=9, at_random=0)
    assert not numbers_at_random(none, first=3)
    assert not [t for t in asked(strategy(Heard(), none), *[GOOD] * 9) if t.number in MINE]
    one, other = (asked(strategy(Heard(), seed=seed), *[GOOD] * 4)[-1] for seed in (1, 2))
    assert one.number == other.number == MINE[0]
    assert one.point != other.point
