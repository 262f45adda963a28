"""Observers of a command: entered before its work, left after it, and never the reason that it fails."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

import pytest

from callsheet.cli import observers
from callsheet.cli.observers import observed
from callsheet.cli.terminal import Session
from callsheet.discovery import Discovery
from callsheet.plugin import hookimpl
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import PluginManifest


class Watching:
    """A plugin whose observers a test writes."""

    def __init__(self, *watches):
        self.watches = watches

    @hookimpl
    def callsheet_register_observers(self):
        """Those."""
        return [watch() for watch in self.watches]


def host_of(plugin, provides=("events",)):
    """A host with this plugin."""
    manifest = PluginManifest.parse({"api": 1, "provides": list(provides)}, "w/plugin.toml", "w")
    return PluginHost(Discovery(), extra=[("w", plugin, manifest)])


async def test_they_are_entered_first_and_left_last(capsys):
    """In order and in reverse order; the end in a thread, so that a slow one blocks nothing."""
    seen = []

    @contextmanager
    def watch(name):
        seen.append(f"enter {name}")
        yield
        seen.append(f"leave {name} {threading.current_thread() is threading.main_thread()}")

    plugin = Watching(lambda: watch("a"), lambda: watch("b"))
    async with observed(Session(), host_of(plugin)):
        seen.append("work")
    assert seen == ["enter a", "enter b", "work", "leave b False", "leave a False"]
    assert capsys.readouterr().err == ""


async def test_they_are_left_when_the_work_fails_or_is_cancelled():
    """The error goes on; what was seen until then is not lost."""
    seen = []

    @contextmanager
    def watch():
        yield
        seen.append("left")

    with pytest.raises(asyncio.CancelledError):
        async with observed(Session(), host_of(Watching(watch))):
            raise asyncio.CancelledError
    assert seen == ["left"]


@pytest.mark.parametrize("when", ["asked", "entered", "left"])
async def test_one_that_fails_is_told(when, capsys):
    """On stderr, masked; the command goes on."""
    secret = "sk-" + "a1B2c3D4" * 5

    @contextmanager
    def watch():
        if when == "entered":
            raise OSError(f"no room {secret}")
        yield
        raise OSError(f"no room {secret}")

    def asked():
        raise OSError(f"no room {secret}")

    worked = False
    async with observed(Session(), host_of(Watching(asked if when == "asked" else watch))):
        worked = True
    said = capsys.readouterr().err
    assert worked
    assert "not observed: " in said
    assert "no room" in said
    assert secret not in said


async def test_one_that_does_not_end_is_left_behind(monkeypatch, capsys):
    """A command never hangs at its end."""
    monkeypatch.setattr(observers, "LAST_SECONDS", 0.01)
    end = threading.Event()

    @contextmanager
    def watch():
        yield
        end.wait()

    async with observed(Session(), host_of(Watching(watch))):
        pass
    end.set()
    assert "did not end within 0.01 s" in capsys.readouterr().err


async def test_a_plugin_that_provides_no_events_is_not_asked():
    """Its manifest says what a plugin is loaded for."""

    def watch():
        pytest.fail("asked")

    async with observed(Session(), host_of(Watching(watch), provides=())) as nothing:
        assert nothing is None
