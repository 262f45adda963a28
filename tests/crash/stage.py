"""A project in a folder, real processes on it, and what the ledger, the journal and the output folder say afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SHEET = HERE / "sheet.toml"
JOBS = 8
TIMEOUT = 60
ONCE = {"mock:video": [1, 1], "mock:image-job": [1, 1], "mock:music": [1]}
"""Jobs with receipts: however often processes die, each is submitted exactly once."""


@dataclass
class Guest:
    """A process that tells when it is held, and goes on when it is let."""

    process: subprocess.Popen[str]
    told: int
    go: int

    def line(self) -> str:
        """The next line that the probe says; empty when the process is gone."""
        data = b""
        while not data.endswith(b"\n") and (byte := os.read(self.told, 1)):
            data += byte
        return data.decode().strip()

    def let_go(self) -> None:
        """Let a held process go on."""
        os.write(self.go, b".")

    def end(self) -> tuple[int, str]:
        """Wait for the end: exit code and stderr."""
        _, err = self.process.communicate(timeout=TIMEOUT)
        os.close(self.told)
        os.close(self.go)
        return self.process.returncode, err


@dataclass
class Stage:
    """One project with one sheet; `site` holds the probe plugin as an installed distribution."""

    folder: Path
    site: Path

    @classmethod
    def build(cls, folder: Path, sheet: str = "") -> Stage:
        """Write the sheet and install the probe."""
        site = folder / "site"
        shutil.copytree(HERE / "probe" / "src", site, ignore=shutil.ignore_patterns("__pycache__"))
        info = site / "callsheet_probe-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: callsheet-probe\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[callsheet]\nprobe = callsheet_probe\n")
        project = folder / "project"
        project.mkdir()
        (project / "callsheet.toml").write_text("")
        (project / "sheet.toml").write_text(sheet or SHEET.read_text())
        return cls(project, site)

    @property
    def state(self) -> Path:
        """The project's state folder."""
        return self.folder / ".callsheet"

    def command(self, *words: str) -> list[str]:
        """A callsheet command of this interpreter."""
        return [sys.executable, "-m", "callsheet", *words]

    def environment(self, **more: str) -> dict[str, str]:
        """The environment without anything of callsheet's own, with the probe in reach."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CALLSHEET_", "PROBE_"))}
        own = {"PYTHONPATH": str(self.site), "XDG_CACHE_HOME": str(self.site / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**kept, **own, **more}

    def run(self, *words: str, before: tuple[str, ...] = (), **more: str) -> subprocess.CompletedProcess[str]:
        """Carry out a command to its end."""
        command = [*before, *self.command(*words)]
        env = self.environment(**more)
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=TIMEOUT)

    def start(self, *words: str, **more: str) -> Guest:
        """Start a command whose probe can speak and be held."""
        told, say = os.pipe()
        hear, go = os.pipe()
        env = self.environment(PROBE_SAY=str(say), **more)
        if "PROBE_HOLD" in more:
            env.setdefault("PROBE_GO", str(hear))
        process = subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env={name: value for name, value in env.items() if value},
            pass_fds=(say, hear),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(say)
        os.close(hear)
        return Guest(process, told, go)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Rows of the ledger, [] when there is none yet."""
        path = self.state / "ledger.sqlite3"
        if not path.exists():
            return []
        db = sqlite3.connect(path)
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []  # killed before its tables were made
        finally:
            db.close()

    def latest(self) -> str:
        """The id of the latest run, or an empty text."""
        rows = self.query("SELECT id FROM runs ORDER BY started DESC LIMIT 1")
        return str(rows[0][0]) if rows else ""

    def in_state(self, state: str, ref: str) -> list[str]:
        """The jobs of a model whose calls are in a state."""
        rows = self.query("SELECT job, state, ref FROM calls ORDER BY job")
        return [str(job) for job, found, model in rows if (found, model) == (state, ref)]

    def journal(self, event: str, ref: str = "") -> Counter[str]:
        """How often something happened at the provider, by the call's key."""
        path = self.state / "plugins" / "callsheet-mock" / "journal.jsonl"
        entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return Counter(e["key"] for e in entries if e["event"] == event and ref in ("", e.get("ref")))

    def accepted(self) -> dict[str, list[int]]:
        """How often each call was accepted, by model."""
        refs = ("mock:text", "mock:image", "mock:video", "mock:image-job", "mock:music")
        return {ref: sorted(self.journal("accepted", ref).values()) for ref in refs}

    def manifest(self) -> dict[str, object]:
        """The manifest of the output folder, as `normal` leaves it."""
        return normal(json.loads((self.folder / "output" / "manifest.json").read_text()))

    def go_on(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Resume the latest run, or begin one when it was killed before it was on record."""
        run = self.latest()
        return self.run(*(("resume", run) if run else ("run", ".")), *words, **more)

    def assert_whole(self, undisturbed: Mapping[str, object]) -> None:
        """Complete, every receipt job paid for once, the same manifest, and nothing altered on disk."""
        accepted = self.accepted()
        assert {ref: counts for ref, counts in accepted.items() if ref in ONCE} == ONCE
        assert self.manifest() == undisturbed
        assert self.torn() == []
        verified = self.run("runs", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr

    def torn(self) -> list[str]:
        """What is in the store under a digest that it does not have."""
        files = (self.state / "blobs" / "sha256").glob("*/*")
        return [path.name for path in files if hashlib.sha256(path.read_bytes()).hexdigest() != path.name]


def normal(manifest: dict) -> dict[str, object]:
    """A manifest without what differs from run to run: its id, times, seq, digest, and attempts."""
    passing = {"run", "seq", "digest", "started", "submitted", "finished", "ended", "attempts"}
    jobs = [{k: v for k, v in job.items() if k not in passing} for job in manifest["jobs"]]
    return {k: v for k, v in manifest.items() if k not in passing} | {"jobs": jobs}
