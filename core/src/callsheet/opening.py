"""Opening a project: its settings are read and a client is made; the only place where files become settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from callsheet.client import Client
from callsheet.config import find_project, load_settings
from callsheet.jobs import JobResult
from callsheet.models import ModelRef
from callsheet.policies import Policies
from callsheet.project import Project
from callsheet.secrets import SecretResolver
from callsheet.selector import Selector
from callsheet.settings import Settings

__all__ = ["call_sync", "open_client", "project_at"]


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
    policies: Policies | None = None,
    user: bool = False,
    selector: Selector | None = None,
    durable: bool = True,
    env_file: str = "",
) -> AsyncIterator[Client]:
    """A client for the project that `folder` (default: the working folder) belongs to.

    Raises ConfigError for a `callsheet.toml` that is wrong. `policies` hold where neither it nor the user's own file says
    anything; `settings` take the place of both files, with the policies in them. `user` keeps the state of calls outside
    of any project in the user's state folder. `durable` as in `Client.open`. `env_file` takes the place of the
    configured one.
    """
    if settings is not None and policies is not None:
        raise TypeError("open() takes settings or policies, not both: settings have policies in them")
    project = project_at(Path.cwd() if folder is None else Path(folder).absolute(), user=user)
    read = settings or load_settings(project.folder, policies)
    client = await Client.open(
        project, read.with_env_file(env_file), secrets=secrets, selector=selector, durable=durable
    )
    try:
        yield client
    finally:
        await client.aclose()


def call_sync(ref: str | ModelRef, *, folder: str | Path | None = None, **asked: Any) -> JobResult:
    """One call from a script or a notebook: opens the project, does what `Client.call` does, and closes it."""

    async def work() -> JobResult:
        async with open_client(folder) as client:
            return await client.call(ref, **asked)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(1, "callsheet-call") as notebook:  # its own loop runs in this thread
        return notebook.submit(asyncio.run, work()).result()
