"""Which plugins this callsheet speaks with: those of the newest api and of the one before it."""

from __future__ import annotations

import sys

import pytest

from callsheet import plugin_manifest
from callsheet.catalog import Catalog
from callsheet.errors import PluginError
from callsheet.models import Mode, ModelRef, Operation
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import PLUGIN_API, PluginManifest
from callsheet.registry import Registry

ACME = 'provides = ["models"]\n[provider]\nname = "acme"\n[[models]]\nmodel = "m"\noperation = "text.generate"\n'
CODE = """
from callsheet.plugin import HandlerSpec, JobResult, ProviderRequest, TextArtifact, hookimpl

class Handler:
    def prepare(self, job):
        return ProviderRequest(ref=job.ref, operation=job.operation, body={}, expects=())

    async def invoke(self, request, context):
        return JobResult((TextArtifact("said by an older plugin"),))

@hookimpl
def callsheet_register_handlers():
    return [HandlerSpec(provider="acme", factory=Handler)]
"""


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch):
    """Lets this callsheet be one whose newest api is another."""
    return lambda api: monkeypatch.setattr(plugin_manifest, "PLUGIN_API", api)


@pytest.mark.parametrize(("now", "api"), [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3)])
def test_the_newest_api_and_the_one_before_it_are_spoken(newest, now: int, api: int) -> None:
    """What the plugin is written for can be told afterwards."""
    newest(now)
    assert PluginManifest.parse({"api": api}).api == api


@pytest.mark.parametrize(
    ("now", "api", "said"),
    [
        (1, 0, "plugin api 0, and this callsheet speaks api 1: upgrade the plugin"),
        (2, 0, "plugin api 0, and this callsheet speaks api 1 and 2: upgrade the plugin"),
        (2, 3, "plugin api 3, and this callsheet speaks api 1 and 2: upgrade callsheet"),
        (3, 1, "plugin api 1, and this callsheet speaks api 2 and 3: upgrade the plugin"),
    ],
)
def test_any_other_api_is_refused_with_what_to_upgrade(newest, now: int, api: int, said: str) -> None:
    """Never both: one of the two is too old."""
    newest(now)
    with pytest.raises(PluginError, match=said):
        PluginManifest.parse({"api": api})


async def test_a_plugin_of_the_api_before_works_whole(site, newest) -> None:
    """It is found, its rows are listed, it is imported, and its handler answers; one api later it is a problem."""
    newest(PLUGIN_API + 1)
    site.install("callsheet-acme", entry_name="acme", toml=f"api = {PLUGIN_API}\n{ACME}", code=CODE)
    discovery = site.discover()
    assert discovery.problems == ()
    registry = Registry(Catalog(discovery), PluginHost(discovery), environ={})
    bound = registry.resolve(ModelRef("acme", "m"), Operation.TEXT_GENERATE, Mode.LIVE)
    assert "callsheet_acme" in sys.modules
    result = await bound.handler.invoke(None, None)
    assert result.artifacts[0].text == "said by an older plugin"

    newest(PLUGIN_API + 2)
    assert f"speaks api {PLUGIN_API + 1} and {PLUGIN_API + 2}" in site.discover().plugin("acme").problem
