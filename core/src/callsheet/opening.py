"""Opening a project: its settings are read and a client is made; the only place where files become settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from callsheet.client import Client
from callsheet.config import find_project, load_settings
from callsheet.project import Project
from callsheet.secrets import SecretResolver
from callsheet.settings import Settings

__all__ = ["open_client", "project_at"]


def project_at(folder: Path, *, user: bool = False) -> Project:
    """The project that `folder` belongs to; with `user`, the user's own one when `folder` is in no project."""
    found = find_project(folder)
    if user and not (found / "callsheet.toml").is_file():
        return Project.of_user()
    return Project.at(found)


@asynccontextmanager
async def open_client(
    folder: str | Path | None = None,
    *,
    secrets: SecretResolver | None = None,
    settings: Settings | None = None,
    user: bool = False,
) -> AsyncIterator[Client]:
    """A client for the project that `folder` (default: the working folder) belongs to.

    Raises ConfigError for a `callsheet.toml` that is wrong. `user` keeps the state of calls outside of any project in
    the user's state folder.
    """
    project = project_at(Path.cwd() if folder is None else Path(folder).absolute(), user=user)
    read = settings or load_settings(project.folder)
    client = await Client.open(project, read, secrets=secrets)
    try:
        yield client
    finally:
        await client.aclose()
