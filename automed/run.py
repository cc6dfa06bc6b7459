"""A search in its folder: its front, its artefacts, its report."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automed import files
from automed.errors import RunError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

    from automed.report.results import File, Model, Results

RESULTS_FILE = "results.json"
REPORT_FILE = "report.html"
FRONT_FILE = "pareto.csv"
TRIALS_FILE = "trials.csv"
CARD_FILE = "model-card.md"


@dataclass(frozen=True)
class Run:
    """A finished or interrupted search in its folder."""

    folder: Path
    results: "Results"

    @property
    def front(self) -> "pd.DataFrame":
        """The models of the front, from fastest to most accurate."""
        table = self.results.table()
        return table[table["origin"] == "search"].reset_index(drop=True)

    @property
    def best(self) -> "Model":
        """The chosen model."""
        return next(m for m in self.results.models if m.name == self.results.chosen)

    def named(self, name: str) -> "Model":
        """A model of the front.

        Raises:
            UnknownNameError: No such model on the front.
        """
        known = {m.name: m for m in self.results.front}
        if name not in known:
            raise UnknownNameError("model of the front", name, known)
        return known[name]

    def file(self, model: "Model", target: str | None, precision: str) -> "File":
        """A model's file for a target, by default the first, in a precision.

        Raises:
            RunError: The model was not exported so, or that file was not kept.
        """
        wanted = target or model.files[0].target
        found = {(f.target, f.precision): f for f in model.files}.get((wanted, precision))
        if found is not None and not found.rejected:
            return found
        there = ", ".join(f"{f.target} {f.precision}" for f in model.files if not f.rejected)
        why = f" was not kept: {found.rejected}" if found else " was not made"
        raise RunError(f"{model.name} for {wanted} in {precision}{why}; there are: {there}")

    def content(self, file: "File") -> bytes:
        """What a kept file of a model holds.

        Raises:
            RunError: The run lacks it.
        """
        try:
            return (self.folder / str(file.path)).read_bytes()
        except OSError as error:
            raise RunError(
                f"{self.folder} lacks {file.path}: {error.strerror}; copy the whole run folder, or "
                f"delete its {RESULTS_FILE} and call `automed resume {self.folder}`"
            ) from error

    def export(
        self,
        path: str | Path,
        model: str | None = None,
        *,
        target: str | None = None,
        precision: str = "fp32",
    ) -> Path:
        """Copy a verified file of a model of the front, by default the chosen one's first.

        Args:
            path: A file; or a folder, which is made if it ends with a slash and is not there.
            model: Name of a model of the front.
            target: One of those that the search was for.
            precision: "fp32" or "int8".

        Raises:
            UnknownNameError: No such model on the front.
            RunError: The run lacks the file, or the path cannot be written.
        """
        file = self.file(self.best if model is None else self.named(model), target, precision)
        return self.written(path, Path(str(file.path)).name, self.content(file))

    def written(self, path: str | Path, name: str, content: bytes) -> Path:
        """Write a file to a path, or under its name into a folder.

        Raises:
            RunError: It cannot be written, or the path ends as a file of another kind would.
        """
        from automed.devices import suffix

        place = Path(path)
        wanted = suffix(place.name)
        if wanted and wanted != suffix(name):
            raise RunError(
                f"{place.name} ends as a {wanted} file does, and this is {name}; "
                "end it likewise, or give another --target"
            )
        try:
            if str(path).endswith(("/", os.sep)):
                place.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                place = place / name
            files.replace(place, content)
        except OSError as error:
            raise RunError(f"cannot write {place}: {error.strerror}") from error
        return place

    def report(self) -> Path:
        """Write report.html, the tables and the model card anew from results.json."""
        from automed.report import card, page

        files.replace(self.folder / FRONT_FILE, self.results.table().to_csv(index=False))
        files.replace(self.folder / TRIALS_FILE, self.results.trial_table().to_csv(index=False))
        if self.results.chosen is not None:
            card.write(self.results, self.results.chosen, self.folder / CARD_FILE)
        page.write(self.results, self.folder / REPORT_FILE)
        return self.folder / REPORT_FILE

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """The run in a folder.

        Raises:
            RunError: The folder holds no results.
        """
        from automed.report.results import Results

        path = Path(folder) / RESULTS_FILE
        if not path.is_file():
            unfinished = (Path(folder) / "study.db").is_file()
            cure = (
                f"finish it with `automed resume {folder}`" if unfinished else "name a run folder"
            )
            raise RunError(f"{folder} holds no {RESULTS_FILE}; {cure}")
        try:
            return cls(Path(folder), Results.load(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path} is not what a search writes; name a run folder, or delete that file "
                f"and go on with `automed resume {folder}`"
            ) from error
