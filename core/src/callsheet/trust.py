"""Where a project's file may send keys and results: nowhere of its own choosing, before its user has said that this is meant."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from callsheet.errors import ConfigError
from callsheet.settings import Key, ProviderSettings
from callsheet.toml_tables import is_loopback, plain
from callsheet.user_folders import user_folder

__all__ = ["Place", "TrustedPlaces", "places_of"]

NAME = "trusted.json"
SECONDS = 10.0
"""How long another process is waited for that writes the file."""
_CHOOSING = ("base_url", "secret", "webhook")


class Place(NamedTuple):
    """A base URL that a project's file gives a provider, or a webhook; the other one is empty.

    `secret` is the key's name, where the file gives that, too.
    """

    provider: str
    base_url: str
    secret: str = ""
    webhook: str = ""

    @property
    def what(self) -> str:
        """What goes there, in words."""
        if self.webhook:
            return f"what the jobs of {self.provider} take and give"
        return self.secret or f"the key of {self.provider}"

    @property
    def url(self) -> str:
        """Where it goes."""
        return self.webhook or self.base_url

    def complaint(self, file: str) -> str:
        """Why nothing is sent there yet."""
        return (
            f"{plain(file)} sends {self.what} to {self.url}, and you have not said that this is meant: "
            "look at that file, then run `callsheet trust` in its folder once"
        )


def places_of(providers: Mapping[str, ProviderSettings], origins: Mapping[Key, str], file: str) -> list[Place]:
    """The places that the project's file chooses, but for those on this machine."""
    places = []
    for name, said in providers.items():
        chosen = {key for key in _CHOOSING if origins.get(("providers", name, key)) == file}
        if said.base_url and not is_loopback(said.base_url) and chosen & {"base_url", "secret"}:
            places.append(Place(name, said.base_url, said.secret))
        if said.webhook and not is_loopback(said.webhook) and "webhook" in chosen:
            places.append(Place(name, "", "", said.webhook))
    return places


class TrustedPlaces:
    """What this user has said, for all projects: a file in the user's own folder, where no project can write it."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or user_folder("state") / NAME

    def of(self, project: Path) -> frozenset[Place]:
        """The places that are trusted in this project. A file that cannot be read trusts none."""
        try:
            return frozenset(Place(*each) for each in self._read().get(str(project.resolve()), ()))
        except OSError:
            return frozenset()

    def write(self, project: Path, places: Collection[Place]) -> None:
        """Trust these places in the project, and no others. Raises ConfigError."""
        from filelock import FileLock

        draft = self.file.with_name(f".{self.file.name}.new")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            # what another process says meanwhile of another project is neither lost nor brought back
            with FileLock(self.file.with_name(f"{self.file.name}.lock"), timeout=SECONDS):
                known = self._read()
                known.pop(str(project.resolve()), None)
                if places:
                    known[str(project.resolve())] = [list(place) for place in sorted(places)]
                draft.write_text(json.dumps({"trusted": known}, indent=2) + "\n", encoding="utf-8")
                draft.replace(self.file)
        except OSError as error:
            raise ConfigError(f"cannot write {self.file}: {error.strerror or error}") from error

    def _read(self) -> dict[str, list[list[str]]]:
        """What was said; nothing of what is no such file. Raises OSError: what is there must not be written over."""
        try:
            trusted = json.loads(self.file.read_bytes())["trusted"]
            return {str(project): [_texts(place) for place in places] for project, places in trusted.items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}


def _texts(place: Iterable[object]) -> list[str]:
    texts = [str(each) for each in place]
    if len(texts) != len(Place._fields):
        raise ValueError(f"not a place: {texts}")
    return texts
