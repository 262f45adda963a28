"""What is said of a plugin that cannot be used or fails: who it is, what went wrong, and what a user can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from callsheet.discovery import DENY_VARIABLE, FoundPlugin
from callsheet.errors import PluginError
from callsheet.toml_tables import plain

__all__ = ["blamed", "guarded", "remedy_of", "told", "why_not"]


@contextmanager
def guarded(found: FoundPlugin, doing: str) -> Iterator[None]:
    """Turns whatever a plugin's code raises into a PluginError which names it."""
    try:
        yield
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise blamed(found, doing, error) from error


def blamed(found: FoundPlugin, doing: str, cause: BaseException) -> PluginError:
    """The error that says which plugin failed, while `doing` what, why, and the remedy."""
    what = f"{type(cause).__name__}: {plain(cause)}" if str(cause) else type(cause).__name__
    return PluginError(f"{told(found)} {doing}: {what}; {remedy_of(found, cause)}", plugin=found.distribution)


def remedy_of(found: FoundPlugin, cause: BaseException | None = None) -> str:
    """What a user can do about a plugin that fails, as the errors about it say it."""
    if isinstance(cause, ModuleNotFoundError):
        return f"install what it needs: pip install --upgrade --force-reinstall {found.distribution}"
    return f"upgrade it, report it to its author, or disable it with {DENY_VARIABLE}={found.distribution}"


def told(found: FoundPlugin) -> str:
    """The plugin, as messages name it."""
    return f"the plugin {found.name!r} ({found.label})"


def why_not(found: FoundPlugin) -> str:
    """Why a plugin is not usable."""
    return found.problem or found.skipped or "its manifest was not read"
