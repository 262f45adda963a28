"""Work in a fresh Python process: nothing is imported there yet, and the hash seed is another one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from callsheet.testing import purity

__all__ = ["loaded_by_import", "main", "run_child"]

SECONDS = 60.0
_IMPORT = """
import json, logging, os, signal, socket, sys, tempfile, threading
from importlib.util import module_from_spec, spec_from_file_location
asked = json.load(sys.stdin)
sys.path[:] = asked["path"]
spec = spec_from_file_location("purity", asked["purity"])
purity = module_from_spec(spec)
spec.loader.exec_module(purity)
import callsheet.plugin
answers = os.fdopen(os.dup(1), "w")
files = {name: tempfile.TemporaryFile() for name in ("stdout", "stderr")}
for number, file in enumerate(files.values(), 1):
    os.dup2(file.fileno(), number)
def state():
    root = logging.getLogger()
    return {
        "sys.path": list(sys.path),
        "the working folder": os.getcwd(),
        "the environment": dict(os.environ),
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "the root logger": (root.level, list(root.handlers)),
        "sys.excepthook": (sys.excepthook, threading.excepthook),
        "sys.stdout and sys.stderr": (sys.stdout, sys.stderr),
        "the timeout of all sockets": socket.getdefaulttimeout(),
    }
before, modules, threads, error = state(), set(sys.modules), set(threading.enumerate()), ""
with purity.watched() as acts:
    try:
        __import__(asked["module"])
    except BaseException as caught:
        error = f"{type(caught).__name__}: {caught}"
after, later = state(), set(sys.modules)
register = getattr(sys.modules.get(asked["module"]), "callsheet_register_handlers", list)
with purity.watched() as made:
    try:
        for spec in register():
            spec.factory()
    except BaseException:
        pass
sys.stdout.flush()
told = {
    "modules": sorted(later - modules),
    "error": error,
    "acts": acts,
    "made": made,
    "threads": sorted(thread.name for thread in set(threading.enumerate()) - threads),
    "changed": [name for name in before if before[name] != after[name]],
    **{name: os.fstat(file.fileno()).st_size for name, file in files.items()},
}
json.dump(told, answers)
answers.flush()
os._exit(0)
"""
_CALL = """
import pickle, sys
path, *asked = pickle.load(sys.stdin.buffer)
sys.path[:] = path
from callsheet.testing.child import main
main(*asked)
"""


def loaded_by_import(module: str) -> dict[str, Any]:
    """What importing a module does in a process that has imported `callsheet.plugin`.

    The `modules` it loads, the `error`, the `acts` that `watched` sees and those when its handlers are then `made`, the
    `threads` that are left, what of the process is `changed`, and the bytes on `stdout` and `stderr`.
    """
    asked = json.dumps({"path": _path(), "module": module, "purity": purity.__file__}).encode()
    told: dict[str, Any] = json.loads(_run(_IMPORT, asked, {}))
    return told


def run_child(name: str, arguments: tuple[Any, ...], *, hash_seed: int, more: tuple[str, ...] = ()) -> Any:
    """The JSON answer of one of the tasks of `main`, from a process with this hash seed; `more` than its subject."""
    asked = pickle.dumps((_path(), name, arguments, more))
    return json.loads(_run(_CALL, asked, {"PYTHONHASHSEED": str(hash_seed)}))


def main(name: str, arguments: tuple[Any, ...], more: tuple[str, ...]) -> None:
    """The child's side."""
    from callsheet.testing.prepare_checks import request_digests
    from callsheet.testing.process_checks import left_by_calls
    from callsheet.testing.receipt_checks import collected_by_receipt
    from callsheet.testing.subject import Subject

    tasks: dict[str, Callable[..., object]] = {
        "request_digests": request_digests,
        "collected_by_receipt": collected_by_receipt,
        "left_by_calls": left_by_calls,
    }
    answers = sys.stdout
    sys.stdout = sys.stderr
    json.dump(tasks[name](Subject(*arguments), *more), answers)
    answers.flush()


def _path() -> list[str]:
    return [path for path in sys.path if isinstance(path, str)]


def _run(program: str, asked: bytes, more: dict[str, str]) -> bytes:
    command = [sys.executable, "-P", "-c", program]
    environ = {**os.environ, **more}
    done = subprocess.run(command, input=asked, capture_output=True, timeout=SECONDS, env=environ, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"a fresh Python process for the checks fails:\n{done.stderr.decode(errors='replace')}")
    return done.stdout
