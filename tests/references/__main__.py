"""Writes everything that is generated: `PYTHONPATH=tests python -m references` (or `nox -s references`)."""

from __future__ import annotations

from references.written import FILES

if __name__ == "__main__":
    for path, text in FILES.items():
        path.write_text(text(), encoding="utf-8")
