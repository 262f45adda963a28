"""What exists: the model rows of all plugins and of the project, found by reference, alias or search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from callsheet.discovery import Discovery, FoundPlugin
from callsheet.errors import CallsheetError, ConfigError
from callsheet.install_hints import install_hints
from callsheet.models import ENVIRONMENTS, ModelInfo, ModelRef, Operation
from callsheet.plugin_manifest import ModelRow, model_row
from callsheet.settings import ProviderSettings, Settings
from callsheet.toml_tables import near_or_known, plain, quoted

__all__ = ["Catalog"]

_Key = tuple[str, str]
_Owned = tuple[FoundPlugin, ModelRow]


class Catalog:
    """The models that can be called. Rows stay raw until they are asked for.

    `models` are rows of one's own, which win over those of plugins; `aliases` the project's own (name to
    reference), which win over those of rows; `providers` may be some without a plugin, which speak a lent wire.
    `wrong_models` (by `provider:model`) and `unread_models` say what is wrong with rows of one's own that are not among
    `models`.
    """

    def __init__(
        self,
        discovery: Discovery,
        *,
        models: Iterable[ModelInfo] = (),
        aliases: Mapping[str, str] | None = None,
        providers: Mapping[str, ProviderSettings] | None = None,
        wrong_models: Mapping[str, str] | None = None,
        unread_models: Iterable[str] = (),
    ) -> None:
        self._discovery = discovery
        self._lent = {name: each.wire for name, each in (providers or {}).items() if each.wire}
        self._providers = {found.provider: found for found in discovery.plugins if found.usable and found.provider}
        self._plugins: dict[str, list[FoundPlugin]] = defaultdict(list)
        for found in discovery.plugins:
            if found.usable:
                self._plugins[found.provider].append(found)
        self._infos: dict[_Key, ModelInfo] = {}
        self._indexed: set[str] = set()
        self._known: dict[_Key, _Owned] = {}
        self._clashes: dict[_Key, list[_Owned]] = {}
        self._settings_aliases = dict(aliases or {})
        self._row_aliases: dict[str, list[ModelRef]] | None = None
        self._own = {(info.provider, info.model): info for info in models}
        self._wrong = dict(wrong_models or {})
        self._unread = tuple(unread_models)

    @classmethod
    def of(cls, discovery: Discovery, settings: Settings) -> Catalog:
        """The catalog of a project."""
        return cls(
            discovery,
            models=settings.models,
            aliases=settings.aliases,
            providers=settings.providers,
            wrong_models=settings.wrong_models,
            unread_models=settings.unread_models,
        )

    @property
    def _raw(self) -> Mapping[_Key, _Owned]:
        """The rows of all plugins."""
        for provider in self._plugins:
            self._rows_of(provider)
        return self._known

    def _rows_of(self, provider: str) -> Mapping[_Key, _Owned]:
        """All rows that were looked at until now, those of this provider among them."""
        # Runs over every row of a plugin: no dataclass, no check, one dict entry a row.
        if provider not in self._indexed:
            self._indexed.add(provider)
            for found in self._plugins.get(provider, ()):
                for row in found.manifest.rows if found.manifest is not None else ():
                    model = row.values.get("model")
                    key = (provider, model if isinstance(model, str) else "")
                    if key not in self._known:
                        self._known[key] = (found, row)
                    elif key[1]:
                        self._clashes.setdefault(key, [self._known[key]]).append((found, row))
        return self._known

    def get(self, ref: ModelRef) -> ModelInfo | None:
        """The model's row, or None when there is none.

        Raises PluginError for a row that is wrong, ConfigError for a row of one's own that is (or that cannot be read), for
        a model that two rows claim, for one whose plugin is broken, and for a provider that is both installed and
        configured with a lent wire.
        """
        if ref.provider in self._lent:
            self._refuse_clash(ref.provider)
        info = self._row((ref.provider, ref.model))
        owner = self._discovery.owner(ref.provider) if info is None else None
        if owner is not None and owner.problem:
            problem = f"the provider {ref.provider!r} cannot be used: {owner.label}: {owner.problem}"
            raise ConfigError(problem, missing=True)
        if info is None and self._unread:
            raise ConfigError(f"there is no row of {ref} in what can be read: {self._unread[0]}")
        return info

    def _row(self, key: _Key) -> ModelInfo | None:
        info = self._own.get(key) or self._infos.get(key)
        if self._wrong and (name := f"{key[0]}:{key[1]}") in self._wrong:
            raise ConfigError(self._wrong[name])
        if info is not None or key not in self._rows_of(key[0]):
            return info
        if key in self._clashes:
            raise ConfigError(_clash(key, self._clashes[key]))
        found, row = self._known[key]
        self._infos[key] = made = model_row(row.values, found.provider, found.distribution, file=row.file)
        return made

    def find(self, text: str) -> ModelRef:
        """The reference that `text` means: `provider:model[@environment]`, or an alias (with an environment, if wanted).

        A reference need not be in the catalog. Raises ConfigError for an unknown alias, with the nearest known ones.
        """
        alias, environment = _split_environment(text.strip())
        if alias in self._settings_aliases:
            ref = self._meant(self._settings_aliases[alias], f"the alias {alias!r}")
        else:
            ref = self._meant(text.strip(), "")
        return ModelRef(ref.provider, ref.model, environment) if environment else ref

    def _meant(self, text: str, where: str) -> ModelRef:
        name, environment = _split_environment(text)
        ref = ModelRef.parse(text) if ":" in name else None
        if ref is not None and ((ref.provider, ref.model) in self or ref.provider not in {*self._plugins, *self._lent}):
            return ref
        targets = self._aliases_of_rows().get(name, []) if ref is None else self._qualified(*name.split(":", 1))
        if ref is not None and not targets:
            return ref
        if len(targets) > 1:
            choices = " or ".join(str(target) for target in targets)
            raise ConfigError(f"the alias {name!r} is claimed by several models: write {choices}", where=where)
        if not targets:
            raise ConfigError(self._unknown_alias(name), where=where)
        return ModelRef(targets[0].provider, targets[0].model, environment or "local")

    def __contains__(self, key: _Key) -> bool:
        return key in self._own or key in self._rows_of(key[0])

    def _unknown_alias(self, name: str) -> str:
        known = [*self._settings_aliases, *(alias for alias in self._aliases_of_rows() if ":" not in alias)]
        near = [f"{p}:{m}" for p, m in sorted({*self._own, *self._raw}) if name and m.rpartition("/")[2] == name][:3]
        near += get_close_matches(name, known, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "write provider:model; `callsheet models` lists them"
        unread = f" ({self._unread[0]})" if self._unread else ""
        return f"{quoted(name)} is neither provider:model nor a known alias; {hint}{unread}"

    def _aliases_of_rows(self) -> Mapping[str, list[ModelRef]]:
        if self._row_aliases is None:
            index: dict[str, list[ModelRef]] = defaultdict(list)
            for (provider, model), names in self._alias_lists(self._raw):
                ref = ModelRef(provider, model)
                for name in names:
                    if isinstance(name, str):
                        index[name].append(ref)
            self._row_aliases = dict(index)
        return self._row_aliases

    def _qualified(self, provider: str, alias: str) -> list[ModelRef]:
        """The models that `provider:alias` means; no other provider's rows are looked at."""
        lists = self._alias_lists(self._rows_of(provider))
        return [ModelRef(*key) for key, names in lists if key[0] == provider and alias in names]

    def _alias_lists(self, rows: Mapping[_Key, _Owned]) -> Iterator[tuple[_Key, list[object]]]:
        for key, info in self._own.items():
            yield key, list(info.aliases)
        for key, (_, row) in rows.items():
            names = row.values.get("aliases")
            if isinstance(names, list) and key not in self._own:
                yield key, names

    def search(
        self,
        *,
        operation: Operation | str | None = None,
        provider: str | None = None,
        capability: str | None = None,
        text: str | None = None,
    ) -> list[ModelInfo]:
        """The rows that meet every condition, sorted by provider and model.

        `text`: each of its words is part of the reference, the title or an alias. Rows that are wrong are left out;
        `problems` tells of them. Raises ConfigError for an unknown operation.
        """
        wanted = _operation(operation)
        words = (text or "").casefold().split()
        found = []
        rows = self._raw if provider is None else self._rows_of(provider)
        for key in sorted({*self._own, *rows}):
            if provider is not None and key[0] != provider:
                continue
            if key not in self._own and not _may_meet(rows[key][1].values, wanted, words, key):
                continue
            info = self._row_if_right(key)
            if info is not None and _meets(info, wanted, capability, words):
                found.append(info)
        return found

    def _row_if_right(self, key: _Key) -> ModelInfo | None:
        try:
            return self._row(key)
        except CallsheetError:
            return None

    def problems(self) -> list[str]:
        """Checks every row of a plugin, and says in a line what is wrong with each that cannot be used."""
        lines = []
        for key in sorted(self._raw):
            try:
                self._row(key)
            except CallsheetError as error:
                if str(error) not in self._wrong.values():
                    lines.append(str(error))
        return lines

    def own_problems(self) -> list[str]:
        """A line for each row of one's own, and each file of such rows, that cannot be used."""
        return [*self._unread, *self._wrong.values()]

    def lent(self) -> Mapping[str, str]:
        """The providers that speak a lent wire, by name, and that wire (`lender:wire`)."""
        return dict(sorted(self._lent.items()))

    def provider_problems(self) -> list[str]:
        """A line for each provider with a lent wire that cannot be used."""
        lines = []
        for provider, lent in self.lent().items():
            lender, _, wire = lent.partition(":")
            plugin = self._providers.get(lender)
            exported = plugin.manifest.wires if plugin is not None and plugin.manifest is not None else ()
            try:
                self._refuse_clash(provider)
            except ConfigError as error:
                lines.append(str(error))
            if plugin is None:
                lines.append(
                    f"{_table_of(provider)}: no usable plugin provides {lender!r}, whose wire it wants: install it"
                )
            elif wire not in exported:
                known = near_or_known(wire, exported) or f"; {plugin.label} exports none"
                lines.append(f"{_table_of(provider)}: there is no wire {lent!r}{known}")
        return lines

    def _refuse_clash(self, provider: str) -> None:
        owner = self._discovery.owner(provider)
        if owner is not None and not owner.skipped:
            what = f"{_table_of(provider)}: its wire is for a provider without a plugin, and {owner.label} is installed"
            raise ConfigError(f"{what}: remove wire and secret there, or name it in [plugins] deny")

    def open_row(self, ref: ModelRef, operation: Operation) -> ModelInfo | None:
        """The bare row of a model that needs none: its provider takes every name, or speaks a lent wire."""
        if ref.provider in self._lent:
            return ModelInfo(ref.provider, ref.model, operation, wire=self._lent[ref.provider])
        plugin = self._providers.get(ref.provider)
        table = plugin.manifest.provider if plugin is not None and plugin.manifest is not None else None
        if plugin is None or table is None or not table.open_models:
            return None
        return ModelInfo(ref.provider, ref.model, operation, plugin=plugin.distribution)

    def providers(self) -> Mapping[str, FoundPlugin]:
        """The providers with a usable plugin, by name."""
        return dict(sorted(self._providers.items()))

    def describe(self, ref: ModelRef, operation: Operation | None = None) -> ModelInfo:
        """The model's row; for a model without one, of a provider that is here, a bare row with `operation`.

        Raises ConfigError when there is neither, with the nearest known names, and all that `get` raises.
        """
        info = self.get(ref)
        if info is not None:
            return info
        if operation is not None and ref.provider in self._lent:
            return ModelInfo(ref.provider, ref.model, operation, wire=self._lent[ref.provider])
        if operation is not None and ref.provider in self._providers:
            plugin = self._providers[ref.provider].distribution
            return ModelInfo(provider=ref.provider, model=ref.model, operation=operation, plugin=plugin)
        raise ConfigError(f"there is no model {ref} in the catalog{self.hint(ref)}")

    def hint(self, ref: ModelRef) -> str:
        """The end of an error about an unknown model: near names, else where to look."""
        owner = self._discovery.owner(ref.provider)
        if owner is not None and owner.skipped:
            return f"; its plugin ({owner.label}) is {owner.skipped}"
        near = [] if owner is None and ref.provider in install_hints()[0] else self.near(ref)
        if near:
            return f"; did you mean {' or '.join(near)}?"
        if ref.provider in self._lent:
            return (
                f"; {ref.provider} takes every name over the wire {self._lent[ref.provider]}, and [[models]] adds rows"
            )
        return f"; {self.unprovided(ref.provider)}" if owner is None else "; `callsheet models` lists what there is"

    def unprovided(self, provider: str) -> str:
        """What is said of a provider without a plugin: what to install, else the nearest name, else all of them."""
        hints, _ = install_hints()
        if provider in hints:
            return f"no plugin provides {quoted(provider)}: pip install {hints[provider]}"
        known = sorted({*hints, *self._providers, *self._lent})
        return f"no plugin provides {quoted(provider)}{near_or_known(provider, known)}"

    def near(self, ref: ModelRef) -> list[str]:
        """Up to three known `provider:model` which look like this one, the nearest first."""
        keys = {*self._own, *self._raw}
        providers = get_close_matches(ref.provider, {provider for provider, _ in keys}, 1)
        same_model = sorted(f"{provider}:{model}" for provider, model in keys if model == ref.model)
        same_model.sort(key=lambda name: not any(name.startswith(f"{provider}:") for provider in providers))
        near = _near_models(keys, ref.provider, ref.model) or same_model[:3]
        return near or [name for provider in providers for name in _near_models(keys, provider, ref.model)]


def _near_models(keys: Iterable[_Key], provider: str, model: str) -> list[str]:
    models = [name for owner, name in keys if owner == provider and name]
    return [f"{provider}:{name}" for name in get_close_matches(model, models, 3)]


def _table_of(provider: str) -> str:
    return f"[providers.{provider}] of callsheet.toml"


def _split_environment(text: str) -> tuple[str, str]:
    head, at, tail = text.rpartition("@")
    return (head, tail) if at and tail in ENVIRONMENTS else (text, "")


def _operation(operation: Operation | str | None) -> Operation | None:
    if operation is None:
        return None
    known = [str(each) for each in Operation]
    if operation not in known:
        raise ConfigError(f"there is no operation {quoted(operation)}{near_or_known(str(operation), known)}")
    return Operation(operation)


def _may_meet(raw: Mapping[str, object], operation: Operation | None, words: list[str], key: _Key) -> bool:
    # Before a row is built: building 10,000 to find three takes half a second.
    if operation is not None and raw.get("operation") != operation:
        return False
    if not words:
        return True
    text = f"{key[0]}:{key[1]} {raw.get('title', '')} {raw.get('aliases', '')}".casefold()
    return all(word in text for word in words)


def _meets(info: ModelInfo, operation: Operation | None, capability: str | None, words: list[str]) -> bool:
    if operation is not None and info.operation != operation:
        return False
    if capability is not None and capability not in info.capabilities:
        return False
    if not words:
        return True
    text = " ".join((info.name, info.title, *info.aliases)).casefold()
    return all(word in text for word in words)


def _clash(key: _Key, owners: list[_Owned]) -> str:
    provider, model = key
    who = " and ".join(f"{plain(row.file)} of {found.label}" for found, row in owners)
    return f"{provider}:{plain(model)} has more than one row, in {who}; none of them is used: remove all but one"
