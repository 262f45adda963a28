"""Sessions: `nox -l` lists them; `.ci/run` uses the quick ones, `nox -s full` is the long rest."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "typing", "contracts"]
