"""Which distribution to install for a provider that no installed plugin has: data that comes with callsheet."""

from __future__ import annotations

import tomllib

__all__ = ["install_hints", "known_distributions"]


def install_hints() -> tuple[dict[str, str], str]:
    """The distribution to install for each provider, and the one that simulates."""
    from importlib.resources import files

    data = tomllib.loads(files("callsheet").joinpath("install_hints.toml").read_text(encoding="utf-8"))
    return dict(data["providers"]), str(data["simulator"])


def known_distributions() -> set[str]:
    """The distributions that callsheet itself tells users to install."""
    providers, simulator = install_hints()
    return {simulator, *providers.values()}
