"""Asking ffprobe and ffmpeg about files; both must be installed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest


class Media:
    """One file, looked at by ffprobe and ffmpeg."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def probe(self, data: bytes) -> dict[str, Any]:
        """What ffprobe says of the streams and the format of the data, without any warning."""
        self.path.write_bytes(data)
        command = ["ffprobe", "-v", "warning", "-show_streams", "-show_format", "-of", "json", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def decode(self, *output: str) -> bytes:
        """The output of ffmpeg for the file probed before, without any warning."""
        command = ["ffmpeg", "-v", "warning", "-i", str(self.path), *output]
        done = subprocess.run(command, capture_output=True, check=True)
        assert done.stderr == b""
        return done.stdout


@pytest.fixture
def media(tmp_path: Path) -> Media:
    """A file of its own for each test."""
    return Media(tmp_path / "media")
