"""What a plugin registers: factories that import at first use."""

from __future__ import annotations

import sys

import pytest

from callsheet.handler import HandlerSpec, lazy

CODE = "class Jobs:\n    def prepare(self, job):\n        return job\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that nobody has imported."""
    (tmp_path / "callsheet_lazily.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "callsheet_lazily"
    sys.modules.pop("callsheet_lazily", None)


def test_a_lazy_factory_imports_when_it_is_called(module):
    """And makes a handler at each call; HandlerSpec takes it like any other."""
    spec = HandlerSpec("acme", lazy(f"{module}:Jobs"), wire="jobs")
    assert module not in sys.modules
    handler = spec.factory()
    assert type(handler) is sys.modules[module].Jobs
    assert spec.factory() is not handler


def test_a_lazy_factory_of_nothing_says_what_is_missing(module):
    """As Python does: the host tells whose plugin it is."""
    with pytest.raises(AttributeError, match="no attribute 'Jbos'"):
        lazy(f"{module}:Jbos")()
    with pytest.raises(ImportError, match="callsheet_nowhere"):
        lazy("callsheet_nowhere:Jobs")()
