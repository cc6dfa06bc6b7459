"""The Optuna study behind a search: what a killed search resumes from; nothing else remembers."""

import json
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from automed import files
from automed.errors import RunError
from automed.space import Space
from automed.strategies.optuna_samplers import distribution
from automed.study_file import StudyFile
from automed.task import Direction
from automed.trial import BASELINE, SEARCH, Outcome, Trial

STUDY_FILE = "study.db"
_CHECKPOINTS = "checkpoints"
_SETTINGS = "automed"
_BASELINE = "baseline:"


class Record:
    """Every outcome of one search, an Optuna trial per architecture.

    Complete means full fidelity. Paused trials are running, and pruned once the search ends.
    Infeasible ones are pruned and carry their constraints, failed ones have failed. What an
    outcome holds beyond Optuna's own fields lies in user attributes. Only the driver writes.
    """

    def __init__(self, study: StudyFile, folder: Path) -> None:
        self._study, self._folder = study, folder
        self._numbers: dict[int, int] = {
            asked: number for number, asked in study.each("number").items()
        }

    @classmethod
    def create(
        cls,
        folder: Path,
        name: str,
        objectives: Mapping[str, Direction],
        settings: Mapping[str, Any],
    ) -> "Record":
        """A new record in a run folder.

        Args:
            folder: The run folder; made if it is not there.
            name: Name of the study.
            objectives: Objective name to direction.
            settings: Plain values that a resumed search needs.

        Raises:
            RunError: The folder is taken or cannot be written.
        """
        require_free(folder)
        try:
            (folder / _CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"cannot write to {folder}: {error.strerror}; name another --out"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        scratch = folder / f"{STUDY_FILE}.{os.getpid()}.tmp"  # a reader never meets half a schema
        with warnings.catch_warnings(action="ignore"):  # "experimental": names of objectives
            StudyFile.create(scratch, name, objectives, {_SETTINGS: json.dumps(settings)})
        try:
            os.link(scratch, folder / STUDY_FILE)  # fails where another search was a moment faster
        except FileExistsError:
            require_free(folder)
        except OSError:  # this disk knows no links
            scratch.replace(folder / STUDY_FILE)
        finally:
            scratch.unlink(missing_ok=True)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "Record":
        """The record of a run folder.

        Raises:
            RunError: The folder is missing or no run.
        """
        if not (folder / STUDY_FILE).is_file():
            raise RunError(f"{folder} is no run folder: it holds no {STUDY_FILE}")
        try:
            study = StudyFile(folder / STUDY_FILE)
            study.attributes[_SETTINGS]
            return cls(study, folder)
        except (sqlite3.Error, KeyError) as error:
            raise RunError(f"{folder} is no run folder: {STUDY_FILE} cannot be read") from error

    @property
    def settings(self) -> dict[str, Any]:
        """What `create` was given."""
        settings: dict[str, Any] = json.loads(self._study.attributes[_SETTINGS])
        return settings

    def write(self, trial: Trial, outcome: Outcome, space: Space) -> None:
        """Keep an outcome; the checkpoint first, so that no row names one that is not there."""
        if outcome.checkpoint is not None:
            files.replace(self._checkpoint(trial), outcome.checkpoint)
        if trial.origin == BASELINE:
            facts = {"family": trial.family, "point": dict(trial.point), "number": trial.number}
            facts |= {"epochs_asked": trial.epochs, "outcome": outcome.facts()}
            self._study.set_attribute(f"{_BASELINE}{trial.name}", json.dumps(facts))
        elif trial.number in self._numbers:
            self._update(trial, outcome)
        else:
            self._add(trial, outcome, space)

    def rows(self) -> Iterator[tuple[Trial, Outcome]]:
        """Every trial of the search with its latest outcome, in the order of their numbers."""
        for row in sorted(self._study.rows(), key=lambda row: int(row.attributes["number"])):
            trial = Trial(
                row.attributes["number"],
                row.params["family"],
                row.params,
                row.attributes["epochs_asked"],
                SEARCH,
                row.attributes["name"],
            )
            yield trial, Outcome(**_facts(row.attributes["outcome"]))

    def baselines(self) -> Iterator[tuple[Trial, Outcome]]:
        """Every baseline with its outcome, in the order of their numbers."""
        kept = {
            key.removeprefix(_BASELINE): json.loads(text)
            for key, text in self._study.attributes.items()
            if key.startswith(_BASELINE)
        }
        for name, facts in sorted(kept.items(), key=lambda item: int(item[1]["number"])):
            trial = Trial(
                facts["number"],
                facts["family"],
                facts["point"],
                facts["epochs_asked"],
                BASELINE,
                name,
            )
            yield trial, Outcome(**_facts(facts["outcome"]))

    def checkpoint(self, trial: Trial) -> bytes:
        """The weights of a finished trial, or what continues a paused one.

        Raises:
            RunError: The file is gone.
        """
        path = self._checkpoint(trial)
        if not path.is_file():
            raise RunError(f"the run lacks {_CHECKPOINTS}/{path.name}; was it copied in part?")
        return path.read_bytes()

    def close(self) -> None:
        """Mark what is still paused as pruned: nobody will continue it."""
        self._study.close()

    def _checkpoint(self, trial: Trial) -> Path:
        return self._folder / _CHECKPOINTS / f"{trial.name}.pt"

    def _add(self, trial: Trial, outcome: Outcome, space: Space) -> None:
        distributions: dict[str, BaseDistribution] = {n: distribution(p) for n, p in space.items()}
        state = _state(outcome)
        now = datetime.now()
        frozen = optuna.trial.FrozenTrial(
            number=-1,
            trial_id=-1,
            state=state,
            value=None,
            values=self._values(outcome) if state == TrialState.COMPLETE else None,
            datetime_start=now - timedelta(seconds=sum(outcome.seconds.values())),
            datetime_complete=None if state == TrialState.RUNNING else now,
            params=dict(trial.point),
            distributions=distributions,
            user_attrs={
                "number": trial.number,
                "name": trial.name,
                "epochs_asked": trial.epochs,
                "outcome": json.dumps(outcome.facts()),
            },
            system_attrs={},
            intermediate_values={},
        )
        for limit, violation in outcome.violations.items():
            frozen.set_constraint(limit, violation)
        self._numbers[trial.number] = self._study.add(frozen)

    def _update(self, trial: Trial, outcome: Outcome) -> None:
        state = _state(outcome)
        self._study.update(
            self._numbers[trial.number],
            state,
            self._values(outcome) if state == TrialState.COMPLETE else (),
            {"outcome": json.dumps(outcome.facts()), "epochs_asked": trial.epochs},
        )

    def _values(self, outcome: Outcome) -> list[float]:
        return [outcome.value(name) for name in self._study.objectives]


def require_free(folder: Path) -> None:
    """Refuse a run folder that no record could be made in; nothing is written.

    Raises:
        RunError: The folder is taken or cannot be written.
    """
    if (folder / STUDY_FILE).exists():
        raise RunError(f"{folder} holds a run already; name another --out or resume it")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise RunError(f"cannot write to {folder}: {there.name} is a file; name another --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(f"cannot write to {folder}: permission denied; name another --out")


def _state(outcome: Outcome) -> TrialState:
    if outcome.failure is not None:
        return TrialState.FAIL
    if not outcome.feasible:
        return TrialState.PRUNED
    return TrialState.COMPLETE if outcome.finished else TrialState.RUNNING


def _facts(text: str | Mapping[str, Any]) -> dict[str, Any]:
    facts = dict(json.loads(text) if isinstance(text, str) else text)
    return facts | {"curve": tuple(facts["curve"])}
