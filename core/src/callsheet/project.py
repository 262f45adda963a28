"""A project's place on disk: its folder, its state folder, and what is opened there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from callsheet.user_folders import user_folder

__all__ = ["Project"]

STATE = ".callsheet"


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with (or without) a `callsheet.toml`; its state lies in `state`."""

    folder: Path
    state: Path

    @classmethod
    def at(cls, folder: Path) -> Project:
        """The project whose state lies inside its folder."""
        return cls(folder, folder / STATE)

    @classmethod
    def of_user(cls) -> Project:
        """Where calls outside of any project keep their state: the user's own state folder."""
        return cls(Path.cwd(), user_folder("state"))

    def prepare(self) -> None:
        """Make the state folder; version control is told to leave it alone."""
        self.state.mkdir(parents=True, exist_ok=True)
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")

    def sheet_id(self, source: Path) -> str:
        """How the ledger names a sheet: its path inside the project, so that a moved project keeps its history."""
        try:
            return source.relative_to(self.folder.resolve()).as_posix()
        except ValueError:
            return source.as_posix()
