"""Where secrets are looked for, in turn: the environment, a named .env file, the keyring, a command, plugins.

What was set for this process wins over what lies in a file, what lies at hand over what has to be asked for, and what
the user set up over what a plugin says. Slow sources are asked for one secret at a time, and remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from callsheet.discovery import Discovery, FoundPlugin
from callsheet.errors import CallsheetError, ConfigError, PluginError
from callsheet.isolation import run_apart
from callsheet.plugin_faults import guarded
from callsheet.secret_commands import CommandSecrets
from callsheet.secrets import EnvSecrets, Redactor, Secret, SecretResolver
from callsheet.settings import SecretSettings, Settings
from callsheet.toml_tables import in_mib, plain

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from callsheet.plugin_host import PluginHost

__all__ = [
    "DeclaredSecret",
    "EnvFileSecrets",
    "Found",
    "KeyringSecrets",
    "SecretSources",
    "declared_secrets",
    "find_secrets",
]

KEYRING_SERVICE = "callsheet"
SECONDS = 60.0
MAX_BYTES = 1 << 20


class _AbsentError(Exception):
    """A source is not there at all; that is no failure, because another may have the secret."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of looking for a secret: itself and its `place`, else where was looked, and what failed there."""

    secret: Secret | None = None
    place: str = ""
    looked: tuple[str, ...] = ()
    failures: tuple[CallsheetError, ...] = ()


@dataclass(frozen=True, slots=True)
class DeclaredSecret:
    """A secret that a provider's plugin (or its `[providers.NAME]`) declares; the first one is its `key`."""

    name: str
    provider: str
    key: bool


class EnvFileSecrets:
    """Secrets from one file of variables, read once. Values are taken as they stand: no `$NAME` in them is replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: Mapping[str, str] | None = None

    async def get(self, name: str) -> Secret | None:
        """The variable's value without surrounding white space. Raises ConfigError for a file that cannot be read."""
        return self.look(name)

    def look(self, name: str) -> Secret | None:
        """As `get`, which has nothing to wait for."""
        if self._values is None:
            self._values = self._read()
        value = self._values.get(name, "").strip()
        return Secret(value) if value else None

    def _read(self) -> dict[str, str]:
        from io import StringIO

        from dotenv.parser import parse_stream

        where = plain(self.path)
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise _AbsentError("there is no such file") from None
        except OSError as error:
            raise ConfigError(f"{where}: cannot be read: {error.strerror or error}", missing=True) from None
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{where}: is larger than {in_mib(MAX_BYTES)}")
        try:
            bindings = list(parse_stream(StringIO(data.decode("utf-8-sig"))))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{where}: line {line} is not UTF-8 text") from None
        for one in bindings:
            if one.error:  # the line itself is not shown
                text = one.original.string
                line = one.original.line + text[: len(text) - len(text.lstrip())].count("\n")
                raise ConfigError(f"{where}: line {line} cannot be read: it must be NAME=value")
        return {one.key: one.value for one in bindings if one.key and one.value is not None}


class KeyringSecrets:
    """Secrets from the operating system's keyring, where they are kept by their name under the service `callsheet`."""

    async def get(self, name: str) -> Secret | None:
        """What is kept there. Raises ConfigError when the keyring is locked or fails."""
        try:
            value = await run_apart(partial(self._ask, name), seconds=SECONDS)  # it may block, or open a window
        except TimeoutError:
            raise ConfigError(f"the keyring did not answer within {SECONDS:g} s", missing=True) from None
        return Secret(value) if isinstance(value, str) and value else None

    def put(self, name: str, secret: Secret) -> None:
        """Keep it. Raises ConfigError when that cannot be done."""
        try:
            with _keyring() as keyring:
                keyring.set_password(KEYRING_SERVICE, name, secret.reveal())
                if keyring.get_password(KEYRING_SERVICE, name) != secret.reveal():
                    raise ConfigError(f"the keyring did not keep {name}: it is disabled on this machine", missing=True)
        except _AbsentError as error:
            raise ConfigError(f"{name} cannot be kept in the keyring: {error}", missing=True) from None

    def _ask(self, name: str) -> str | None:
        with _keyring() as keyring:
            value: str | None = keyring.get_password(KEYRING_SERVICE, name)
            return value


@contextmanager
def _keyring() -> Iterator[KeyringBackend]:
    try:
        import keyring
        from keyring.errors import KeyringError, NoKeyringError
    except ImportError:
        raise _AbsentError("it needs a package: pip install 'callsheet[keyring]'") from None
    try:
        yield keyring.get_keyring()
    except NoKeyringError:
        raise _AbsentError("this machine has none that can be used") from None
    except KeyringError as error:
        raise ConfigError(f"the keyring cannot be used: {type(error).__name__}: {plain(error)}", missing=True) from None
    except CallsheetError:
        raise
    except Exception as error:  # backends let through what their libraries raise
        raise ConfigError(f"the keyring cannot be used: {type(error).__name__}", missing=True) from error


_Source = tuple[str, SecretResolver]
"""What a message calls it, and itself."""


class SecretSources:
    """All sources, asked in turn. A source that fails is passed over; only when no other has the secret it is told."""

    def __init__(
        self, settings: SecretSettings, host: PluginHost | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._environment = EnvSecrets(environ)
        self._file = EnvFileSecrets(Path(settings.env_file)) if settings.env_file else None
        self._keyring = KeyringSecrets() if settings.keyring else None
        self._commands = CommandSecrets(settings.commands)
        self._host = host
        self._kept: dict[str, Found] = {}
        self._missed: dict[str, Found] = {}
        self._one_at_a_time = asyncio.Lock()

    async def get(self, name: str) -> Secret | None:
        """The secret, or None when no source has it. Raises CallsheetError when one that might have it fails."""
        found = await self.find(name)
        if found.secret is None and found.failures:
            raise found.failures[0]
        return found.secret

    def looked_in(self, name: str) -> str:
        """Where was looked for a secret that was not found."""
        missed = self._missed.get(name, Found())
        return ", ".join(missed.looked) if len(missed.looked) > 1 else ""

    def at_hand(self, names: Iterable[str]) -> Iterator[Secret]:
        """Those that the environment and the .env file have, without asking anybody."""
        wanted = list(names)
        for source in (self._environment, self._file):
            with suppress(CallsheetError, _AbsentError):  # whoever needs one of them is told
                if source is not None:
                    yield from filter(None, map(source.look, wanted))

    async def find(self, name: str, *, asking: bool = True) -> Found:
        """Look for a secret and say where it is. Without `asking` no command is run and no plugin imported."""
        quick = await _first(name, self._quick())
        if quick.secret is not None:
            return quick
        async with self._one_at_a_time:
            if name in self._kept:
                return self._kept[name]
            found = await _first(name, self._slow(name) if asking else self._slow_at_hand(), quick)
        (self._missed if found.secret is None else self._kept)[name] = found
        return found

    def command(self, name: str) -> bool:
        """True when there is a command for this secret."""
        return name in self._commands.commands

    def _quick(self) -> Iterator[_Source]:
        yield "the environment", self._environment
        if self._file is not None:
            yield plain(self._file.path), self._file

    def _slow_at_hand(self) -> Iterator[_Source]:
        if self._keyring is not None:
            yield "the keyring", self._keyring

    def _slow(self, name: str) -> Iterator[_Source]:
        yield from self._slow_at_hand()
        if self.command(name):
            yield "its command", self._commands
        if self._host is not None:
            for error in self._host.open_kind("secrets"):
                yield f"the plugin {error.plugin}", _Broken(error)
            try:
                resolvers = self._host.secret_resolvers()
            except PluginError as error:
                yield f"the plugin {error.plugin}", _Broken(error)
                return
            for found, resolver in resolvers:
                yield f"the plugin {found.name}", _Guarded(found, resolver)


class _Broken:
    def __init__(self, error: PluginError) -> None:
        self._error = error

    async def get(self, name: str) -> Secret | None:  # noqa: ARG002
        raise self._error


class _Guarded:
    """A plugin's resolver, which may fail in any way, or take for ever."""

    def __init__(self, found: FoundPlugin, resolver: SecretResolver) -> None:
        self._found = found
        self._resolver = resolver

    async def get(self, name: str) -> Secret | None:
        with guarded(self._found, f"fails to look up the secret {name}"):
            async with asyncio.timeout(SECONDS):
                secret = await self._resolver.get(name)
            if not isinstance(secret, Secret | None):
                raise TypeError(f"it gave a {type(secret).__name__} and not a Secret")
            return secret


async def _first(name: str, sources: Iterable[_Source], before: Found = Found()) -> Found:
    looked, failures = list(before.looked), list(before.failures)
    for place, source in sources:
        try:
            secret = await source.get(name)
        except _AbsentError as error:
            looked.append(f"{place} ({error})")
            continue
        except CallsheetError as error:
            failures.append(error)
            secret = None
        if secret is not None:
            return Found(secret, place)
        looked.append(place)
    return Found(None, "", tuple(looked), tuple(failures))


def declared_secrets(discovery: Discovery, settings: Settings) -> list[DeclaredSecret]:
    """The secrets of all providers, in order of the providers' names; each provider's key comes first."""
    declared = {
        found.provider: found.manifest.provider.secrets
        for found in discovery.plugins
        if found.usable and found.manifest is not None and found.manifest.provider is not None
    }
    declared |= {name: (one.secret,) for name, one in settings.providers.items() if one.secret}
    return [
        DeclaredSecret(name, provider, name == declared[provider][0])
        for provider in sorted(declared)
        for name in declared[provider]
    ]


def find_secrets(settings: Settings, host: PluginHost, redactor: Redactor) -> SecretSources:
    """The sources that the settings name. What lies at hand is masked from now on, asked for or not."""
    sources = SecretSources(settings.secrets, host)
    for secret in sources.at_hand(each.name for each in declared_secrets(host.discovery, settings)):
        redactor.add(secret)
    return sources
