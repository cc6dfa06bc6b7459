"""Trials on a Ray cluster, through Ray Tune; the strategy stands behind a Searcher."""

import contextlib
import logging
import os
import shutil
import tempfile
from typing import Any

from automed.executors import Ask, Evaluate, Resources, Tell
from automed.trial import Outcome, Trial


def make(resources: Resources) -> "RayTuneExecutor":
    """See `Maker.make`."""
    return RayTuneExecutor(resources)


class RayTuneExecutor:
    """Ray Tune with actors that are reused, so that each loads its data once."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def run(self, ask: Ask, evaluate: Evaluate, tell: Tell) -> None:
        """See `Executor.run`."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C is the loop's to handle
        os.environ.setdefault("TUNE_FORCE_TRIAL_CLEANUP_S", "5")  # for a step that goes on
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # the record is the only truth
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the old output can be silenced
        import ray

        started_here = not ray.is_initialized()
        if started_here:
            self._connect()
        scratch = tempfile.mkdtemp(prefix="automed-ray-")
        try:
            self._tune(ask, evaluate, tell, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
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

    def _tune(self, ask: Ask, evaluate: Evaluate, tell: Tell, scratch: str) -> None:
        from ray import tune
        from ray.tune.search import ConcurrencyLimiter

        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        line = _Line(ask, tell)
        trainable = tune.with_resources(
            tune.with_parameters(_trainable(), evaluate=evaluate),
            {"cpu": self._resources.cpus, "gpu": self._resources.gpus},
        )
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=ConcurrencyLimiter(_searcher(line), self._resources.workers),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="automed",
                storage_path=scratch,
                verbose=0,
                stop=_stopper(line),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
        if line.error is not None:
            raise line.error


def _name(trial: Any) -> str:
    """What the dashboard shows: the trial's own name."""
    return str(trial.config["trial"].name)


def _trainable() -> Any:
    from ray import tune

    class EvaluateTrial(tune.Trainable):  # type: ignore[misc]
        """One actor: it evaluates trial after trial."""

        def setup(self, config: dict[str, Any], evaluate: Evaluate) -> None:
            self._evaluate = evaluate
            with contextlib.suppress(Exception):  # what is wrong will be the reason of a trial
                self._evaluate.warm(0)  # Ray shows each actor its own devices only
            self._trial: Trial = config["trial"]

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._trial = new_config["trial"]
            return True

        def step(self) -> dict[str, Any]:
            return {"outcome": self._evaluate(self._trial), "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None: ...
        def load_checkpoint(self, checkpoint: Any) -> None: ...

    return EvaluateTrial


class _Line:
    """The way back to the driver's ask and tell, and the first error either raised.

    Tune pickles its searcher to be able to restore an experiment; ours restores from the record,
    so nothing of this is pickled.
    """

    def __init__(self, ask: Ask | None = None, tell: Tell | None = None) -> None:
        self._ask, self._tell = ask, tell
        self.running: dict[str, Trial] = {}
        self.error: BaseException | None = None

    def __reduce__(self) -> Any:
        return _Line, ()

    def ask(self) -> Trial | None:
        if self.error is not None or self._ask is None:
            return None
        try:
            return self._ask()
        except BaseException as error:
            self.error = error
            return None

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        assert self._tell is not None
        if self.error is not None:
            return
        try:
            self._tell(trial, outcome)
        except BaseException as error:
            self.error = error


def _stopper(line: _Line) -> Any:
    from ray.tune import Stopper

    class AtAnError(Stopper):  # type: ignore[misc]
        """Ends the run when ask or tell has raised, whatever still trains."""

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return line.error is not None

    return AtAnError()


def _searcher(line: _Line) -> Any:
    from ray.tune.search import Searcher

    class AskAndTell(Searcher):  # type: ignore[misc]
        """Ray Tune's question-and-answer interface over ask and tell."""

        def __init__(self) -> None:
            super().__init__(metric="outcome", mode="max")
            self._line = line

        def suggest(self, trial_id: str) -> Any:
            trial = self._line.ask()
            if trial is None:  # while trials are in flight, what they give may lead to more
                return None if self._line.running and not self._line.error else Searcher.FINISHED
            self._line.running[trial_id] = trial
            return {"trial": trial}

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            died = Outcome(failure="the Ray worker died, perhaps out of memory")
            outcome = died if error or not result else result.get("outcome", died)
            self._line.tell(self._line.running.pop(trial_id), outcome)

        def save(self, checkpoint_path: str) -> None: ...
        def restore(self, checkpoint_path: str) -> None: ...

    return AskAndTell()
