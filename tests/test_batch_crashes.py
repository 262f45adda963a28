"""A process that is killed at any point of a batch, and the next one: nothing is sent, or paid for, twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PLUGIN = """
import json
import os
from pathlib import Path

from callsheet.plugin import (
    Expected, HandlerSpec, JobResult, ProviderRequest, Receipt, RemoteState, RemoteStatus, TextArtifact, hookimpl,
)

VENDOR = Path(os.environ["VENDOR"])


def reached(point):
    with (VENDOR / "journal").open("a") as journal:
        journal.write(point + "\\n")
    if os.environ.get("KILL") == point:
        os.kill(os.getpid(), 9)


class Posts:
    def prepare(self, job):
        body = {"prompt": job.inputs.prompt}
        return ProviderRequest(job.ref, job.operation, body, (Expected("text", "text/plain"),))

    async def invoke(self, request, context):
        reached("invoke")
        return JobResult((TextArtifact("by itself"),))

    def batch_group(self, request):
        return "all"

    async def submit_batch(self, items, context):
        reached("submit")
        (VENDOR / f"{context.key}.json").write_text(json.dumps([item.key for item in items]))
        reached("accepted")
        return self._receipt(context)

    def _receipt(self, context):
        key, job = context.key, context.job
        return Receipt(job.ref, job.operation, "batch-" + key[:8], key, context.request_digest, (), context.clock())

    async def poll(self, receipt, context):
        reached("poll")
        return RemoteStatus(RemoteState.SUCCEEDED)

    async def collect_batch(self, receipt, items, context):
        reached("collect")
        done = json.loads((VENDOR / f"{receipt.key}.json").read_text())
        return {item.key: JobResult((TextArtifact("batched"),)) for item in items if item.key in done}

    async def find_batch(self, since, context):
        reached("find")
        return self._receipt(context) if (VENDOR / f"{context.key}.json").exists() else None


@hookimpl
def callsheet_register_handlers():
    return [HandlerSpec(provider="posts", factory=Posts)]
"""
MANIFEST = """
api = 1
[provider]
name = "posts"
batch = { max_requests = 100, max_bytes = 1000000 }
[[models]]
model = "text"
operation = "text.generate"
"""
SHEET = """
[producers.b]
operation = "text.generate"
models = ["posts:text"]
dispatch = "batch"
for_each = 20
prompt = "number {{ index }}"
"""


@dataclass
class Run:
    """Carries out commands in a project whose provider keeps its batches in files; `kill` names a point to die at."""

    folder: Path

    @property
    def vendor(self) -> Path:
        """The provider's own folder."""
        return self.folder / "vendor"

    def __call__(self, *words: str, kill: str = "") -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CALLSHEET_")}
        own = {"PYTHONPATH": str(self.folder / "site"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        env = {**kept, **own, "VENDOR": str(self.vendor), "KILL": kill}
        command = [sys.executable, "-m", "callsheet", *words]
        where = self.folder / "project"
        return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A project with a sheet of one batch."""
    site, project, vendor = tmp_path / "site", tmp_path / "project", tmp_path / "vendor"
    package, info = site / "callsheet_posts", site / "callsheet_posts-1.0.dist-info"
    for folder in (package, info, project, vendor):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text(PLUGIN, encoding="utf-8")
    (package / "plugin.toml").write_text(MANIFEST, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: callsheet-posts\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[callsheet]\nposts = callsheet_posts\n", encoding="utf-8")
    (project / "callsheet.toml").touch()
    (project / "sheet.toml").write_text(SHEET, encoding="utf-8")
    return Run(tmp_path)


@pytest.mark.parametrize("point", ["submit", "accepted", "poll", "collect"])
def test_a_killed_run_is_resumed_and_its_batch_is_sent_once(run, point):
    """`jobs` shows what was left, `resume` ends it; the vendor accepted every call exactly once."""
    killed = run("run", "sheet.toml", kill=point)
    assert killed.returncode == -9, killed.stderr
    left = json.loads(run("jobs", "--json").stdout)["jobs"]
    assert {(row["owner"], len(row["resume"]) > 0) for row in left} == {("dead", True)}
    assert {row["state"] for row in left} == {"sending" if point in ("submit", "accepted") else "submitted"}
    assert len(left) == 20
    resumed = run("resume", left[0]["run"], "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["executed"] == 20
    journal = (run.vendor / "journal").read_text().split()
    accepted = [key for file in run.vendor.glob("*.json") for key in json.loads(file.read_text())]
    assert len(accepted) == len(set(accepted)) == 20
    assert journal.count("accepted") == 1
    assert "invoke" not in journal
    assert journal.count("find") == (1 if point in ("submit", "accepted") else 0)


def test_a_killed_batch_is_collected_by_its_receipt(run, tmp_path):
    """The receipt that `jobs --json` shows brings all of its calls."""
    assert run("run", "sheet.toml", kill="poll").returncode == -9
    receipt = json.loads(run("jobs", "--json").stdout)["jobs"][0]["receipt"]
    (tmp_path / "batch.json").write_text(json.dumps(receipt), encoding="utf-8")
    collected = run("resume", str(tmp_path / "batch.json"), "--json", "--project", ".")
    assert collected.returncode == 0, collected.stderr
    assert len(json.loads(collected.stdout)["artifacts"]) == 20
    assert json.loads(run("jobs", "--json").stdout)["jobs"] == []
