"""Watches a function while it runs: does it read a clock, a file, the environment, chance, or reach the network?"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

__all__ = ["Act", "sleeps", "watched"]

Act = tuple[str, str]
"""What was done, and where: `reads the clock (time.time)`, `callsheet_acme/answers.py:12`."""

_HARMLESS = frozenset({"fspath", "strerror", "struct_time", "strptime", "mktime", "register_at_fork"})
_OS = ("posix", "nt")
_NOT_CALLERS = ("<frozen importlib", f"{os.sep}logging{os.sep}")


@contextmanager
def watched(*, network_only: bool = False) -> Iterator[list[Act]]:
    """Collect what the code in this block does outside of its arguments, in this thread.

    A profile function sees every call, however the caller has imported what it calls; it is taken away at the end.
    """
    acts: list[Act] = []
    codes = _python_functions()

    def look(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            what = codes.get(frame.f_code, "")
        elif event == "c_call":
            what = _builtin(arg)
        else:
            return
        if what and not (network_only and not what.startswith(("reaches", "starts"))):
            place = _place(frame)
            if place and (what, place) not in acts:
                acts.append((what, place))

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()  # a collection may run anybody's callbacks in the midst of it
    sys.setprofile(look)
    try:
        yield acts
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()


@contextmanager
def sleeps() -> Iterator[list[str]]:
    """Collect the places, outside of Python and the core, that sleep in this thread (`asyncio.sleep`, `time.sleep`)."""
    places: list[str] = []
    core = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 - as in `_caller`

    def look(frame: FrameType, event: str, arg: Any) -> None:
        waits = event == "call" and frame.f_code is asyncio.sleep.__code__ and bool(frame.f_locals.get("delay"))
        if waits or (event == "c_call" and arg is time.sleep):
            caller = _caller(frame)
            if caller is not None and not caller.f_code.co_filename.startswith(core) and _named(caller) not in places:
                places.append(_named(caller))

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield places
    finally:
        sys.setprofile(before)


def _python_functions() -> dict[CodeType, str]:
    reads: dict[Callable[..., object], str] = {
        type(os.environ).__getitem__: "reads the environment (os.environ)",
        socket.socket.__init__: "reaches the network (socket)",
        socket.getaddrinfo: "reaches the network (getaddrinfo)",
        subprocess.Popen.__init__: "starts a process (subprocess)",
    }
    return {each.__code__: what for each, what in reads.items()}


def _builtin(function: Any) -> str:
    name = getattr(function, "__name__", "")
    module = getattr(function, "__module__", None) or ""
    owner = getattr(function, "__self__", None)
    if name in _HARMLESS or name.startswith(("_path_split", "_path_norm")):  # texts alone
        return ""
    if module == "time":
        return f"reads the clock (time.{name})"
    if name in ("now", "utcnow", "today") and getattr(owner, "__module__", "") == "datetime":
        return f"reads the clock ({getattr(owner, '__name__', 'datetime')}.{name})"
    if owner is _shared_random() or isinstance(owner, random.SystemRandom) or name in ("urandom", "getrandom"):
        return f"depends on chance ({name})"
    if module == "_socket":
        return f"reaches the network ({name})"
    if module == "_posixsubprocess" or (module in _OS and name in ("fork", "posix_spawn", "system")):
        return f"starts a process ({name})"
    if module in _OS or (module in ("io", "_io") and name in ("open", "open_code")):
        return f"uses files or the system ({name})"
    return ""


def _shared_random() -> object:
    """The generator behind `random.random()`: one that a plugin seeds for itself is deterministic."""
    return getattr(random.random, "__self__", None)


def _place(frame: FrameType) -> str:
    caller = _caller(frame)
    return "" if caller is None else _named(caller)


def _named(caller: FrameType) -> str:
    return f"{'/'.join(caller.f_code.co_filename.replace(os.sep, '/').split('/')[-2:])}:{caller.f_lineno}"


def _caller(start: FrameType) -> FrameType | None:
    """The nearest caller that is no part of Python; None for calls that Python makes by itself (imports, logging)."""
    frame: FrameType | None = start
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - no pathlib while it is watched
    while frame is not None:
        file = frame.f_code.co_filename
        if any(part in file for part in _NOT_CALLERS):
            return None
        if file == __file__:
            return None
        if not file.startswith(("<frozen", library)) or "site-packages" in file:
            return frame
        frame = frame.f_back
    return None
