"""Which distribution to install, for a provider that nobody here has."""

from __future__ import annotations

import pytest

from callsheet.catalog import Catalog
from callsheet.discovery import Discovery
from callsheet.install_hints import install_hints, known_distributions
from callsheet.models import ModelRef


def test_each_provider_has_a_distribution_of_ours():
    """Names that users are told to install, and that others must not pretend to be."""
    providers, simulator = install_hints()
    assert providers["openai"] == "callsheet-openai"
    assert all(each.startswith("callsheet-") for each in providers.values())
    assert known_distributions() == {simulator, *providers.values()}


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("openai:gpt", "; no plugin provides 'openai': pip install callsheet-openai"),
        ("openia:gpt", "; no plugin provides 'openia'; did you mean 'openai'?"),
        (
            "zzz:x",
            "; no plugin provides 'zzz'; known are anthropic, elevenlabs, gemini, mock, openai, replicate",
        ),
    ],
)
def test_the_catalog_tells_of_a_known_provider(ref, said):
    """Where a model is in no catalog, because the plugin is not installed."""
    assert Catalog(Discovery()).hint(ModelRef.parse(ref)) == said
