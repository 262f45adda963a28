"""Where secrets are looked for: in which order, what a missing source says, and what a broken one may not hide."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import keyring
import pytest
from keyring.backends.fail import Keyring as NoKeyring
from keyring.backends.null import Keyring as DisabledKeyring
from keyring.errors import KeyringLocked

from callsheet.discovery import Discovery
from callsheet.errors import ConfigError, PluginError
from callsheet.plugin import Secret, hookimpl
from callsheet.plugin_host import PluginHost
from callsheet.secret_sources import (
    EnvFileSecrets,
    KeyringSecrets,
    SecretSources,
    declared_secrets,
    find_secrets,
)
from callsheet.secrets import Redactor, SecretScope
from callsheet.settings import ProviderSettings, SecretSettings, Settings


def printing(text: str) -> tuple[str, ...]:
    """A command that prints this, and counts its runs in the file `runs`."""
    return (sys.executable, "-c", f"open('runs', 'a').write('x'); print({text!r})")


def resolver(fakes, answers, *, name: str = "vault"):
    """A plugin that looks secrets up with `answers(name)`."""

    class Vault:
        async def get(self, name):
            return answers(name)

    class Plugin:
        @hookimpl
        def callsheet_register_secret_resolvers(self):
            return [Vault()]

    return (name, Plugin(), fakes.manifest(name, top={"provides": ["secrets"]}))


async def test_the_order(fakes, ring, tmp_path, monkeypatch) -> None:
    """The environment, the named file, the keyring, a command, a plugin: the first that has it is believed."""
    monkeypatch.chdir(tmp_path)
    names = ["ENV", "FILE", "RING", "COMMAND", "PLUGIN"]
    (tmp_path / "x.env").write_text("".join(f"{name}=from-file\n" for name in names[:2]))
    ring.kept = {("callsheet", name): "from-keyring" for name in names[:3]}
    commands = {name: printing("from-command") for name in names[:4]}
    host = PluginHost(
        Discovery(), extra=[resolver(fakes, lambda name: Secret("from-plugin") if name in names else None)]
    )
    settings = SecretSettings(str(tmp_path / "x.env"), keyring=True, commands=commands)
    sources = SecretSources(settings, host, {"ENV": "from-environment"})
    found = [await sources.find(name) for name in names]
    assert [each.secret.reveal() for each in found] == [
        "from-environment", "from-file", "from-keyring", "from-command", "from-plugin",
    ]  # fmt: skip
    assert [each.place for each in found] == [
        "the environment", str(tmp_path / "x.env"), "the keyring", "its command", "the plugin vault",
    ]  # fmt: skip
    assert await sources.get("OTHER") is None


async def test_slow_sources_are_asked_once(ring, tmp_path, monkeypatch) -> None:
    """Also when twenty want the same secret at the same time."""
    monkeypatch.chdir(tmp_path)
    ring.kept["callsheet", "RING"] = "from-keyring"
    sources = SecretSources(SecretSettings(keyring=True, commands={"A": printing("key-a")}), None, {})
    assert set(await asyncio.gather(*(sources.get("A") for _ in range(20)))) == {Secret("key-a")}
    assert await sources.get("RING") == await sources.get("RING") == Secret("from-keyring")
    assert Path("runs").read_text() == "x"
    assert ring.asked == ["A", "RING"]


async def test_nobody_is_disturbed_by_a_look(fakes, ring, tmp_path, monkeypatch) -> None:
    """A list of what is where runs no command and loads no plugin."""
    monkeypatch.chdir(tmp_path)
    host = PluginHost(Discovery(), extra=[resolver(fakes, lambda name: Secret("from-plugin"))])
    sources = SecretSources(SecretSettings(commands={"A": printing("key-a")}), host, {})
    assert (await sources.find("A", asking=False)).secret is None
    assert sources.command("A")
    assert not sources.command("B")
    assert not Path("runs").exists()
    assert host.secret_resolvers() == []


ENV_FILE = r"""
# the studio's keys
export PLAIN=key-1  # not part of it
QUOTED="key 2 # all of it"
DOLLAR=a$PLAIN${PLAIN}b
SINGLE='$PLAIN'
HASH=abc#def
  SPACED  =  key-3
EMPTY=
NOTHING
PLAIN_AGAIN=first
PLAIN_AGAIN=second
"""


async def test_a_file_of_variables(tmp_path) -> None:
    """Read as others read it, but that no `$NAME` in a value is replaced: a key may hold a dollar sign."""
    file = tmp_path / ".env"
    file.write_bytes(b"\xef\xbb\xbf" + ENV_FILE.replace("\n", "\r\n").encode())
    source = EnvFileSecrets(file)
    names = ("PLAIN", "QUOTED", "DOLLAR", "SINGLE", "HASH", "SPACED", "PLAIN_AGAIN")
    values = [(await source.get(name)).reveal() for name in names]
    assert values == ["key-1", "key 2 # all of it", "a$PLAIN${PLAIN}b", "$PLAIN", "abc#def", "key-3", "second"]
    assert [await source.get(name) for name in ("EMPTY", "NOTHING", "OTHER")] == [None] * 3


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"A=1\n\n\nKEY='open-s3cret\n", "line 4 cannot be read: it must be NAME=value"),
        (b"A=1\nKEY=s3cret-\xff\n", "line 2 is not UTF-8 text"),
        (b"A=" + b"s3cret" * 200_000, "is larger than 1 MiB"),
    ],
)
async def test_a_file_that_cannot_be_read(tmp_path, data: bytes, why: str) -> None:
    """The line is named and not shown; who has the secret elsewhere does not hear of it."""
    file = tmp_path / ".env"
    file.write_bytes(data)
    sources = SecretSources(SecretSettings(str(file)), None, {"HERE": "key-a"})
    assert list(sources.at_hand(["HERE"])) == [Secret("key-a")]
    assert await sources.get("HERE") == Secret("key-a")
    with pytest.raises(ConfigError, match=why) as caught:
        await sources.get("KEY")
    assert str(file) in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_folder_is_no_file(tmp_path) -> None:
    """What the system says is told."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        await EnvFileSecrets(tmp_path).get("A")


async def test_what_is_missing_says_where_was_looked(ring, tmp_path) -> None:
    """A file that is not there is no error: on another machine the environment may have the key."""
    keyring.set_keyring(NoKeyring())
    sources = SecretSources(SecretSettings(str(tmp_path / ".env"), keyring=True), None, {})
    with pytest.raises(ConfigError) as caught:
        await SecretScope(sources, Redactor(), ["A_KEY"], "plug").key()
    told = str(caught.value)
    assert told.startswith("plug needs the secret A_KEY: set it with `export A_KEY=…` (looked in the environment, ")
    assert f"{tmp_path / '.env'} (there is no such file)" in told
    assert "the keyring (this machine has none that can be used)" in told
    assert caught.value.exit_code == 3
    plain = SecretScope(SecretSources(SecretSettings(), None, {}), Redactor(), ["A_KEY"], "plug")
    with pytest.raises(ConfigError, match=r"export A_KEY=…`$"):
        await plain.key()


async def test_without_the_package(monkeypatch) -> None:
    """Who wants the keyring without its extra is told what to install."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    found = await SecretSources(SecretSettings(keyring=True), None, {}).find("A")
    assert found.looked == ("the environment", "the keyring (it needs a package: pip install 'callsheet[keyring]')")
    with pytest.raises(ConfigError, match=r"pip install 'callsheet\[keyring\]'"):
        KeyringSecrets().put("A", Secret("x"))


@pytest.mark.parametrize(
    ("fault", "why"),
    [(KeyringLocked("no key-a-123"), "KeyringLocked"), (RuntimeError("bus key-a-123"), "RuntimeError$")],
)
async def test_a_keyring_that_fails(ring, fault, why: str) -> None:
    """It is told when nobody else has the secret, and only then."""
    ring.fault = fault
    sources = SecretSources(
        SecretSettings(keyring=True, commands={"A": (sys.executable, "-c", "print('x')")}), None, {}
    )
    assert await sources.get("A") == Secret("x")
    with pytest.raises(ConfigError, match=f"the keyring cannot be used: {why}"):
        await sources.get("B")
    with pytest.raises(ConfigError, match=f"the keyring cannot be used: {why}"):
        KeyringSecrets().put("A", Secret("x"))


async def test_what_is_put_into_the_keyring_is_there(ring) -> None:
    """And a keyring that keeps nothing is not believed."""
    KeyringSecrets().put("A", Secret("key-a"))
    assert ring.kept == {("callsheet", "A"): "key-a"}
    assert await KeyringSecrets().get("A") == Secret("key-a")
    keyring.set_keyring(DisabledKeyring())
    with pytest.raises(ConfigError, match="did not keep A: it is disabled on this machine"):
        KeyringSecrets().put("A", Secret("key-a"))


def boom(name):
    """A vault that is sealed."""
    raise ConnectionError("the vault is sealed")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (boom, "fails to look up the secret A: ConnectionError: the vault is sealed"),
        (lambda name: "key-as-text", "gave a str and not a Secret"),
    ],
)
async def test_a_plugin_that_fails(fakes, answers, why: str) -> None:
    """It is named; another plugin may still have the secret."""
    host = PluginHost(Discovery(), extra=[resolver(fakes, answers)])
    with pytest.raises(PluginError, match=why) as caught:
        await SecretSources(SecretSettings(), host, {}).get("A")
    assert "the plugin 'vault'" in str(caught.value)
    assert "key-as-text" not in str(caught.value)
    extra = [resolver(fakes, answers), resolver(fakes, lambda name: Secret("there"), name="other")]
    assert await SecretSources(SecretSettings(), PluginHost(Discovery(), extra=extra), {}).get("A") == Secret("there")


async def test_a_plugin_without_resolvers(fakes) -> None:
    """What registers something else is broken, and so is one that cannot be loaded."""

    class Odd:
        @hookimpl
        def callsheet_register_secret_resolvers(self):
            return ["vault"]

    class Misspelt:
        @hookimpl
        def callsheet_register_secret_resolver(self):
            return []

    for plugin, why in ((Odd(), "gave a str and not SecretResolver"), (Misspelt(), "did you mean")):
        extra = [("odd", plugin, fakes.manifest("odd", top={"provides": ["secrets"]}))]
        with pytest.raises(PluginError, match=why):
            await SecretSources(SecretSettings(), PluginHost(Discovery(), extra=extra), {}).get("A")


def test_which_secrets_are_declared(fakes) -> None:
    """Those of plugins and of providers by configuration; each provider's key first."""
    extra = [
        ("b", object(), fakes.manifest("b", secrets=["B_KEY", "B_HOOK"])),
        ("none", object(), fakes.manifest("none")),
    ]
    settings = Settings(providers={"a": ProviderSettings(secret="A_KEY"), "b": ProviderSettings(base_url="https://b")})
    found = declared_secrets(PluginHost(Discovery(), extra=extra).discovery, settings)
    assert [(one.name, one.provider, one.key) for one in found] == [
        ("A_KEY", "a", True), ("B_KEY", "b", True), ("B_HOOK", "b", False),
    ]  # fmt: skip


def test_what_is_at_hand_is_masked_before_anybody_asks(fakes, tmp_path, monkeypatch) -> None:
    """A prompt may hold a key that no plugin has looked up yet."""
    (tmp_path / ".env").write_text("B_HOOK=hook-in-a-file\nAPP_MODE=production\n")
    monkeypatch.setenv("B_KEY", "key-in-the-environment")
    host = PluginHost(Discovery(), extra=[("b", object(), fakes.manifest("b", secrets=["B_KEY", "B_HOOK"]))])
    redactor = Redactor()
    find_secrets(Settings(secrets=SecretSettings(str(tmp_path / ".env"))), host, redactor)
    text = "key-in-the-environment hook-in-a-file production"
    assert redactor.text(text) == "[redacted] [redacted] production"


@pytest.mark.parametrize("data", [None, b"\xff"])
def test_a_file_that_cannot_be_read_leaves_what_else_is_at_hand_masked(fakes, tmp_path, monkeypatch, data) -> None:
    """Of every provider: the file is named, and has not been made yet, or is broken."""
    if data is not None:
        (tmp_path / ".env").write_bytes(data)
    for name in ("A_KEY", "B_KEY", "C_KEY"):
        monkeypatch.setenv(name, f"{name}-in-the-environment")
    plugins = [(each, object(), fakes.manifest(each, secrets=[f"{each.upper()}_KEY"])) for each in "abc"]
    redactor = Redactor()
    settings = Settings(secrets=SecretSettings(str(tmp_path / ".env")))
    find_secrets(settings, PluginHost(Discovery(), extra=plugins), redactor)
    told = "A_KEY-in-the-environment, B_KEY-in-the-environment, C_KEY-in-the-environment"
    assert redactor.text(told) == "[redacted], [redacted], [redacted]"
