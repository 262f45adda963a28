"""Work in a fresh Python process: nothing is imported there yet, and the hash seed is another one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import Any

__all__ = ["loaded_by_import", "main", "run_child"]

SECONDS = 60.0
_IMPORT = """
import json, os, sys
asked = json.load(sys.stdin)
sys.path[:] = asked["path"]
answers = os.fdopen(os.dup(1), "w")
import tempfile
file = tempfile.TemporaryFile()
os.dup2(file.fileno(), 1)
import callsheet.plugin
before = set(sys.modules)
error = ""
try:
    __import__(asked["module"])
except BaseException as caught:
    error = f"{type(caught).__name__}: {caught}"
sys.stdout.flush()
file.seek(0)
told = {"modules": sorted(set(sys.modules) - before), "printed": len(file.read()), "error": error}
json.dump(told, answers)
answers.flush()
os._exit(0)
"""
_CALL = """
import pickle, sys
path, name, arguments = pickle.load(sys.stdin.buffer)
sys.path[:] = path
from callsheet.testing.child import main
main(name, arguments)
"""


def loaded_by_import(module: str) -> dict[str, Any]:
    """What importing a module loads beside `callsheet.plugin`: `modules`, bytes `printed` to stdout, and the `error`."""
    asked = json.dumps({"path": _path(), "module": module}).encode()
    told: dict[str, Any] = json.loads(_run(_IMPORT, asked, {}))
    return told


def run_child(name: str, arguments: tuple[Any, ...], *, hash_seed: int) -> Any:
    """The JSON answer of one of the tasks of `main`, from a process with this hash seed."""
    asked = pickle.dumps((_path(), name, arguments))
    return json.loads(_run(_CALL, asked, {"PYTHONHASHSEED": str(hash_seed)}))


def main(name: str, arguments: tuple[Any, ...]) -> None:
    """The child's side."""
    from callsheet.testing.prepare_checks import request_digests
    from callsheet.testing.subject import Subject

    tasks = {"request_digests": request_digests}
    answers = sys.stdout
    sys.stdout = sys.stderr
    json.dump(tasks[name](Subject(*arguments)), answers)
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
