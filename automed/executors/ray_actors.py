"""Trials on a Ray cluster, in actors that each load their data once and are kept."""

import contextlib
import logging
import os
from typing import Any

from automed.executors import Ask, Evaluate, Resources, Tell
from automed.trial import Outcome, Trial


def make(resources: Resources) -> "RayExecutor":
    """See `Maker.make`."""
    return RayExecutor(resources)


class RayExecutor:
    """A fixed number of actors, each with one trial at a time.

    Ray Tune would keep a state of its own beside the record, and spend several times as long on a
    trial, see studies/benchmarks/overhead.py.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def run(self, ask: Ask, evaluate: Evaluate, tell: Tell) -> None:
        """See `Executor.run`."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        started_here = not ray.is_initialized()
        if started_here:
            self._connect()
        crew = _Crew(evaluate, self._resources)
        try:
            while True:
                while crew.idle and (trial := ask()) is not None:
                    crew.take(trial)
                if crew.idle and not crew.busy:
                    return
                for trial, outcome in crew.answers():
                    tell(trial, outcome)
        finally:
            crew.dismiss()
            if started_here:
                ray.shutdown()

    def _connect(self) -> None:
        import ray

        if self._resources.address is not None:
            context = ray.init(
                address=self._resources.address, log_to_driver=False, logging_level=logging.ERROR
            )
        else:
            context = ray.init(
                num_cpus=max(1, round(self._resources.workers * self._resources.cpus)),
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        if context.dashboard_url:
            print(f"Ray dashboard: http://{context.dashboard_url}  token: `ray get-auth-token`")


class _Crew:
    """The actors: those that wait for a trial, those that have one, those that are starting."""

    def __init__(self, evaluate: Evaluate, resources: Resources) -> None:
        import ray

        self._actor = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus)(_Worker)
        self._evaluate = ray.put(evaluate)
        self.idle: list[Any] = []
        self.busy: dict[Any, tuple[Any, Trial]] = {}
        self.starting: dict[Any, Any] = {}
        for _ in range(resources.workers):
            self._start()

    def _start(self) -> None:
        actor = self._actor.remote(self._evaluate)
        self.starting[actor.warm.remote()] = actor

    def take(self, trial: Trial) -> None:
        """Give a trial to an idle actor; the dashboard shows it by its name."""
        actor = self.idle.pop()
        self.busy[actor.answer.options(name=trial.name or str(trial.number)).remote(trial)] = (
            actor,
            trial,
        )

    def answers(self) -> list[tuple[Trial, Outcome]]:
        """Wait until a trial has ended or an actor has started; what has ended, if one has.

        An actor that could not start is idle too: its trial will tell.
        """
        import ray

        (done, *_), _ = ray.wait([*self.busy, *self.starting], num_returns=1)
        if done in self.starting:
            self.idle.append(self.starting.pop(done))
            return []
        actor, trial = self.busy.pop(done)
        try:
            outcome: Outcome = ray.get(done)
            self.idle.append(actor)
        except ray.exceptions.RayError:
            outcome = Outcome(failure="the Ray worker died, perhaps out of memory")
            ray.kill(actor)
            self._start()
        return [(trial, outcome)]

    def dismiss(self) -> None:
        """End every actor, whatever it is at."""
        import ray

        busy = (actor for actor, _ in self.busy.values())
        for actor in (*self.idle, *busy, *self.starting.values()):
            ray.kill(actor)


class _Worker:
    """One actor's process: it evaluates trial after trial."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate

    def warm(self) -> None:
        """Load what every trial needs."""
        with contextlib.suppress(Exception):  # what is wrong will be the reason of a trial
            self._evaluate.warm(0)  # Ray shows each actor its own devices only

    def answer(self, trial: Trial) -> Outcome:
        """The outcome of a trial."""
        return self._evaluate(trial)
