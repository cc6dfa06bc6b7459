"""The file of an Optuna study, a transaction a trial: Optuna's own storage asks per parameter."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL

_distribution = lru_cache(json_to_distribution)
_OBJECTIVES = "study:metric_names"
_LOCKED_S = 60.0
"""How long a dashboard that reads may keep the file from being written."""


class Row(NamedTuple):
    """What a trial brought along: its parameters and its user attributes."""

    params: dict[str, Any]
    attributes: dict[str, Any]


class StudyFile:
    """Trials in the SQLite schema of Optuna, which makes the file; whatever has Optuna reads it.

    Through Optuna's storage a trial of 20 parameters costs 60 statements to write, and an object a
    parameter to read: seconds a study of hundreds, minutes one of thousands.

    Raises:
        sqlite3.Error: It is no such file, or not a whole one.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=_LOCKED_S, check_same_thread=False)
        self.objectives: list[str] = self._attributes("study_system_attributes")[_OBJECTIVES]
        self._ids: dict[int, int] = dict(
            self._database.execute("SELECT number, trial_id FROM trials")
        )

    @classmethod
    def create(
        cls,
        path: Path,
        name: str,
        objectives: Mapping[str, Literal["maximize", "minimize"]],
        attributes: Mapping[str, Any],
    ) -> None:
        """Have Optuna make the file.

        Args:
            path: Where none is yet.
            name: Of the study.
            objectives: Name to "maximize" or "minimize".
            attributes: User attributes of the study.
        """
        storage = optuna.storages.RDBStorage(
            URL.create("sqlite", database=str(path)).render_as_string()
        )
        study = optuna.create_study(
            study_name=name, storage=storage, directions=list(objectives.values())
        )
        study.set_metric_names(list(objectives))
        for key, value in attributes.items():
            study.set_user_attr(key, value)
        storage.remove_session()
        storage.engine.dispose()

    @property
    def attributes(self) -> dict[str, Any]:
        """The user attributes of the study."""
        return self._attributes("study_user_attributes")

    def set_attribute(self, key: str, value: Any) -> None:
        """Set a user attribute of the study, in place of one that may be there."""
        with self._database as database:
            database.execute(
                "INSERT INTO study_user_attributes (study_id, key, value_json)"
                " SELECT study_id, ?, ? FROM studies WHERE true"
                " ON CONFLICT (study_id, key) DO UPDATE SET value_json = excluded.value_json",
                (key, json.dumps(value)),
            )

    def add(self, trial: FrozenTrial) -> int:
        """Add a trial and give its number, which counts from 0."""
        number = len(self._ids)
        with self._database as database:
            trial_id = database.execute(
                "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete)"
                " SELECT ?, study_id, ?, ?, ? FROM studies",
                (
                    number,
                    trial.state.name,
                    _stamp(trial.datetime_start),
                    _stamp(trial.datetime_complete),
                ),
            ).lastrowid
            assert trial_id is not None
            database.executemany(
                "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)"
                " VALUES (?, ?, ?, ?)",
                [
                    (
                        trial_id,
                        name,
                        d.to_internal_repr(trial.params[name]),
                        distribution_to_json(d),
                    )
                    for name, d in trial.distributions.items()
                ],
            )
            self._set(trial_id, "trial_system_attributes", trial.system_attrs)
            self._set(trial_id, "trial_user_attributes", trial.user_attrs)
            self._value(trial_id, trial.values or ())
        self._ids[number] = trial_id
        return number

    def update(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float],
        attributes: Mapping[str, Any],
    ) -> None:
        """Give a running trial another state, its values and other attributes."""
        trial_id, ended = self._ids[number], _stamp(datetime.now()) if state.is_finished() else None
        with self._database as database:
            database.execute(
                "UPDATE trials SET state = ?, datetime_complete = ? WHERE trial_id = ?",
                (state.name, ended, trial_id),
            )
            self._set(trial_id, "trial_user_attributes", attributes)
            self._value(trial_id, values)

    def close(self) -> None:
        """Prune what is still running."""
        with self._database as database:
            database.execute(
                "UPDATE trials SET state = 'PRUNED', datetime_complete = ? WHERE state = 'RUNNING'",
                (_stamp(datetime.now()),),
            )

    def each(self, key: str) -> dict[int, Any]:
        """One user attribute of every trial, by the trial's number."""
        rows = self._database.execute(
            "SELECT number, value_json FROM trials JOIN trial_user_attributes USING (trial_id)"
            " WHERE key = ?",
            (key,),
        )
        return {number: json.loads(text) for number, text in rows}

    def rows(self) -> list[Row]:
        """Every trial, in the order of their numbers."""
        with self._database as database:
            database.execute("BEGIN")  # one moment of a file that others may be writing
            trials = database.execute("SELECT trial_id FROM trials ORDER BY number")
            rows = {trial_id: Row({}, {}) for (trial_id,) in trials}
            for trial_id, name, value, text in database.execute(
                "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params"
                " ORDER BY param_id"
            ):
                rows[trial_id].params[name] = _distribution(text).to_external_repr(value)
            for trial_id, key, text in database.execute(
                "SELECT trial_id, key, value_json FROM trial_user_attributes"
            ):
                rows[trial_id].attributes[key] = json.loads(text)
        return list(rows.values())

    def _attributes(self, table: str) -> dict[str, Any]:
        rows = self._database.execute(f"SELECT key, value_json FROM {table}")
        return {key: json.loads(text) for key, text in rows}

    def _set(self, trial_id: int, table: str, attributes: Mapping[str, Any]) -> None:
        self._database.executemany(
            f"INSERT INTO {table} (trial_id, key, value_json) VALUES (?, ?, ?)"
            " ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json",
            [(trial_id, key, json.dumps(value)) for key, value in attributes.items()],
        )

    def _value(self, trial_id: int, values: Sequence[float]) -> None:
        self._database.executemany(
            "INSERT INTO trial_values (trial_id, objective, value, value_type)"
            " VALUES (?, ?, ?, 'FINITE')",
            [(trial_id, objective, value) for objective, value in enumerate(values)],
        )


def _stamp(local: datetime | None) -> str | None:
    """A local time as the schema writes it, in UTC."""
    if local is None:
        return None
    return local.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
