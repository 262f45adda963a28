"""Import and start-up: what a user waits for before anything happens, with plugins that are only generated."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measuring import Figure, Spent, child, cpu_of, limit

__all__ = ["figures", "install"]

_ROW = """
[[models]]
model = "model-{number}"
operation = "image.generate"
wire = "answer"
title = "A picture of the asked size, number {number}"
aliases = ["{name}-{number}"]
capabilities = ["images", "count"]
output = "image/png[]"
"""
_INDEX = """
from callsheet.catalog import Catalog
from callsheet.discovery import discover
found = discover()
catalog = Catalog(found)
from callsheet.models import ModelRef
assert catalog.get(ModelRef("many0", "model-1")) is not None
import sys
assert not any(name.startswith("callsheet_many") for name in sys.modules)
"""
_LISTED = """
import sys
from callsheet.cli import main
sys.argv[1:] = ["models"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert not any(name.startswith("callsheet_many") for name in sys.modules), "a plugin was imported"
"""
_NOTHING_ELSE = """
import sys
before = set(sys.modules)
import callsheet
outside = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
assert outside == {"callsheet"}, outside
"""


def install(folder: Path, plugins: int, models: int) -> Path:
    """Write this many plugin distributions with this many models in all; the folder goes onto sys.path."""
    folder.mkdir()
    each = models // plugins
    for number in range(plugins):
        name = f"many{number}"
        package = folder / f"callsheet_{name}"
        package.mkdir()
        (package / "__init__.py").write_text("raise SystemExit('this plugin was imported')\n", encoding="utf-8")
        rows = "".join(_ROW.format(number=i, name=name) for i in range(each))
        head = f'api = 1\n\n[provider]\nname = "{name}"\ntitle = "Plugin {number}"\n'
        (package / "plugin.toml").write_text(head + rows, encoding="utf-8")
        info = folder / f"callsheet_{name}-1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: callsheet-{name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[callsheet]\n{name} = callsheet_{name}\n", encoding="utf-8")
        (info / "RECORD").write_text("", encoding="utf-8")
    return folder


def _python(code: str, site: Path | None = None, state: Path | None = None) -> Spent:
    env = {"PYTHONPATH": str(site)} if site else {}
    return child([sys.executable, "-c", code], env | _own_state(state), cwd=state)


def _own_state(state: Path | None) -> dict[str, str]:
    """Caches and settings of the benchmark alone."""
    if state is None:
        return {}
    names = ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    return {name: str(state / name.lower()) for name in names}


def figures() -> Iterator[Figure]:
    """Rows for the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = install(folder / "few", 20, 500)
        full = install(folder / "full", 50, 10_000)
        names = ("xdg_cache_home", "xdg_state_home", "xdg_config_home", "xdg_data_home")
        cold, warm = folder / "cold", folder / "warm"
        for state in (cold, warm):
            state.mkdir()
        _python(_NOTHING_ELSE)
        run_cli = "import sys; from callsheet.cli import main; sys.argv[1:] = [{}]; main()"
        bare = cpu_of(
            {
                "bare": partial(_python, "pass"),
                "import": partial(_python, "import callsheet"),
                "help": partial(_python, run_cli.format('"--help"'), full, warm),
                "version": partial(_python, run_cli.format('"--version"'), full, warm),
                "models": partial(_python, _LISTED, few, warm),
                "modules": partial(_python, "import callsheet.catalog, callsheet.discovery, callsheet.models"),
                "index warm": partial(_python, _INDEX, full, warm),
                "index cold": partial(_cold, cold, full, names),
            }
        )
        yield from _rows(bare)


def _cold(state: Path, site: Path, names: tuple[str, ...]) -> Spent:
    import shutil

    for name in names:
        shutil.rmtree(state / name, ignore_errors=True)
    return _python(_INDEX, site, state)


def _rows(cpu: dict[str, float]) -> Iterator[Figure]:
    base = f"bare python {_ms(cpu['bare'])}"

    def over(what: str, name: str, budget: int | None, told: str = "over bare") -> Figure:
        extra = cpu[name] - cpu["bare"]
        rule = f"≤ {budget} ms {told}" if budget else ""
        holds = limit(extra, budget / 1000) if budget else None
        return Figure(what, f"{_ms(cpu[name])}, {_ms(extra)} over bare", base, cpu[name] / cpu["bare"], rule, holds)

    yield Figure("bare python (`python -c pass`), CPU", _ms(cpu["bare"]))
    yield over("`import callsheet` (nothing third-party loaded: checked)", "import", 15)
    yield over("`callsheet --help`, 50 plugins", "help", 100)
    yield over("`callsheet --version`, 50 plugins", "version", None)
    yield over("`callsheet models`, 20 plugins, 500 models (no plugin imported: checked)", "models", 150)
    for name, budget in (("index cold", None), ("index warm", 20)):
        extra = cpu[name] - cpu["modules"]
        yield Figure(
            f"{name}: 50 plugins, 10,000 models found, one looked up",
            _ms(extra),
            f"python with these modules {_ms(cpu['modules'])}",
            cpu[name] / cpu["modules"],
            f"≤ {budget} ms" if budget else "",
            limit(extra, budget / 1000) if budget else None,
        )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
