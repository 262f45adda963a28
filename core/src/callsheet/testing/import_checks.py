"""Checks of what importing a plugin costs and does: a fresh process imports its entry module, and looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from callsheet.discovery import normalised
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.subject import CheckRow, Subject

__all__ = ["TABLE"]

_HEAVY = frozenset({"httpx2", "pydantic"})
_OUTSIDE = ("reaches", "starts")


def check_import(subject: Subject) -> Iterator[Finding]:
    """It can be imported, and loads no SDK, no HTTP library, no pydantic."""
    plugin, told = subject.plugin, subject.imported
    if told["error"]:
        yield Finding(plugin.module, f"cannot be imported: {told['error']}")
    loaded = {name.partition(".")[0] for name in told["modules"]}
    for name in sorted(loaded & (_HEAVY | _required_modules(plugin.distribution))):
        yield Finding(plugin.module, f"imports {name} at once, before any of its models is called")


def _required_modules(distribution: str) -> set[str]:
    """The top-level modules of what a distribution requires, without callsheet."""
    import importlib_metadata

    lines = importlib_metadata.requires(distribution) or ()
    wanted = {normalised(re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0]) for line in lines}
    tops = importlib_metadata.packages_distributions()
    return {top for top, owners in tops.items() if wanted & {normalised(o) for o in owners}} - {"callsheet"}


def check_silence(subject: Subject) -> Iterator[Finding]:
    """Stdout is for data, stderr for what the user asked for."""
    for stream in ("stdout", "stderr"):
        number = _imported(subject)[stream]
        if number:
            yield Finding(subject.plugin.module, f"prints {number} bytes to {stream} while it is imported")


def check_offline(subject: Subject) -> Iterator[Finding]:
    """No connection, no name looked up, no process."""
    for what, place in _imported(subject)["acts"]:
        if what.startswith(_OUTSIDE):
            yield Finding(f"{subject.plugin.module} ({place})", f"{what} while it is imported")


def check_environment(subject: Subject) -> Iterator[Finding]:
    """Variables may change after the import; who sets a base URL in callsheet.toml sets none."""
    module, told = subject.plugin.module, _imported(subject)
    own = [act for act in told["made"] if act[1].startswith(f"{module}/")]  # an SDK may have variables of its own
    for what, place in [*told["acts"], *own]:
        if what.startswith("reads the environment"):
            yield Finding(f"{module} ({place})", f"{what} while it is imported")


def check_threads(subject: Subject) -> Iterator[Finding]:
    """A thread at import outlives every call, and breaks fork."""
    for name in _imported(subject)["threads"]:
        yield Finding(subject.plugin.module, f"starts the thread {name} while it is imported")


def check_state(subject: Subject) -> Iterator[Finding]:
    """What belongs to the application stays as it is."""
    for what in _imported(subject)["changed"]:
        yield Finding(subject.plugin.module, f"changes {what} while it is imported")


def _imported(subject: Subject) -> dict[str, Any]:
    _ = subject.plugin
    if subject.imported["error"]:
        raise NotApplicableError("it cannot be imported: see the check `import-light`")
    return subject.imported


TABLE: tuple[CheckRow, ...] = (
    (
        check_import,
        Check(
            "import-light",
            "importing the package loads no SDK and no HTTP library",
            "import handlers and SDK inside of the factory functions",
        ),
    ),
    (
        check_silence,
        Check("import-silent", "importing the package prints nothing", "print nothing; log, where it helps"),
    ),
    (
        check_offline,
        Check(
            "import-offline", "importing the package reaches no network and starts no process", "do it in the handler"
        ),
    ),
    (
        check_environment,
        Check(
            "import-environment",
            "importing the package and its handlers reads no environment variable",
            "name the variable in plugin.toml: secrets, origin_env; the core reads it",
        ),
    ),
    (check_threads, Check("import-threads", "importing the package starts no thread", "start it where it is needed")),
    (
        check_state,
        Check(
            "import-state",
            "importing the package changes nothing that belongs to the application",
            "leave signal handlers, logging, sys.path, hooks and the working folder as they are",
        ),
    ),
)
