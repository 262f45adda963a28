"""Secrets hide themselves, plugins get what they declare, and the redactor finds every disguise."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import html
import json
import pickle
import re
from dataclasses import asdict, dataclass
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import ConfigError
from callsheet.isolation import SecretsAtHome, run_apart
from callsheet.secrets import _SHAPES, ChainSecrets, EnvSecrets, MappingSecrets, Redactor, Secret, SecretScope, _masked

PLANTED = 's3cr/et+k€y:"q" &%\\7x'
ALPHABET = st.text(st.characters(codec="utf-8", min_codepoint=33, exclude_categories=["Cs"]), min_size=8, max_size=40)


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of these tests."""
    return "asyncio"


def lower_quoted(text: str) -> str:
    """URL-quoted with small hex letters."""
    kept = "-_.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "".join(chr(byte) if chr(byte) in kept else f"%{byte:02x}" for byte in text.encode())


DISGUISES = {
    "plain": lambda s: s,
    "url": lambda s: quote(s, safe=""),
    "path": quote,
    "form": quote_plus,
    "url, small letters": lower_quoted,
    "json": json.dumps,
    "json, unicode kept": lambda s: json.dumps(s, ensure_ascii=False),
    "json in json": lambda s: json.dumps(json.dumps({"k": s})),
    "repr": lambda s: repr({"k": s}),
    "html": html.escape,
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64, url-safe": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@settings(deadline=None)
@given(secret=ALPHABET)
def test_no_disguise_survives(disguise: str, secret: str) -> None:
    """A known secret is masked in every form in which it may turn up in a URL, a log or an error."""
    redactor = Redactor()
    redactor.add(Secret(secret))
    hidden = DISGUISES[disguise](secret)
    assert hidden not in redactor.text(f"before {hidden} after")
    assert redactor.text(f"before {hidden} after").startswith("before ")


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_planted_secret(disguise: str) -> None:
    """A secret full of awkward letters is gone whole: nothing of its letters is left."""
    redactor = Redactor()
    redactor.add(Secret(PLANTED))
    left = redactor.text(f"<{DISGUISES[disguise](PLANTED)}>")
    assert "[redacted]" in left
    assert not {"s3cr", "7x", "czNj"} & {left[i : i + n] for n in (2, 4) for i in range(len(left))}


@pytest.mark.parametrize("user", ["", "u:", "me:", "you:", "someone@example.com:"])
@pytest.mark.parametrize("tail", ["", ":", "::", "\n"])
def test_inside_of_base64(user: str, tail: str) -> None:
    """Basic authentication hides the key behind a user's name: at each of the three alignments it is found."""
    redactor = Redactor()
    redactor.add(Secret("sEcretKey-123456789"))
    encoded = base64.b64encode(f"{user}sEcretKey-123456789{tail}".encode()).decode()
    left = redactor.text(f"got {encoded} back")
    assert "[redacted]" in left
    assert "[redacted]" in redactor.text(f"Basic {encoded}")
    assert encoded[len(user) * 4 // 3 + 2 : -6] not in left


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer {}",
        "authorization: {}",
        "Authorization: Token {}",
        'headers={{"Authorization": "Bearer {}"}}',
        "x-api-key: {}",
        "xi-api-key: {}",
        "api_key={}",
        '"apiKey": "{}"',
        "OPENAI_API_KEY={}",
        "password={}",
        "client_secret: '{}'",
        "https://example.com/a?x=1&key={}&y=2",
        "https://example.com/a?X-Amz-Signature={}",
        '{{\\"access_token\\": \\"{}\\"}}',
        "Incorrect API key provided: sk-{}",
        "AWS_SECRET_ACCESS_KEY={}",
        "REPLICATE_API_TOKEN={}",
        "export GITHUB_TOKEN='{}'",
        "my_secret_key: '{}'",
        "no key r8_{} here",
        "'ghp_{}'",
        "xoxb-{}",
        "gsk_{}, and more",
        "whsec_{}",
        "https://{}@git.example.com/x",
        "postgres://me:{}@db.example.com:5432/films",
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_header_shapes(header: str) -> None:
    """What stands where a credential stands is masked, though nobody told the redactor of it."""
    unknown = "aB3dE5fG7hJ9kL1mN2pQ4"
    left = Redactor().text(header.format(unknown))
    assert unknown not in left
    assert "[redacted]" in left


@pytest.mark.parametrize(
    "prose",
    [
        "A basic understanding of volcanoes, and the token economics of lava.",
        "Basic knowledge: bearer certificates are paid to whoever holds them.",
        "The secret: volcanoes breathe. Password: none needed.",
        "Every key = a note; the signature: G major.",
        "Authorization: required before filming.",
        "A keyboard, a monkey and a donkey walk into a bar, token by token.",
        "sheet.toml: producers.clip.image: takes one file, got 3",
        'She said "open sesame" & left at 10:30 = half past ten.',
        "See https://example.com/@someone and ssh://git@example.com; write to me@example.com.",
        "The xai-generated picture_of_a_ghost_in_the_machine has its charm.",
    ],
)
def test_prose_is_left_as_it_is(prose: str) -> None:
    """Ordinary sentences, prompts among them, go through untouched."""
    assert Redactor().text(prose) == prose


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["AKIA" + "A1" * 8, "AIza" + "b" * 35, "eyJ", "ghp", "sk", "x", "9f86d081", " ", "-", "_", "."])
    )
)
def test_a_text_without_signs_is_looked_at_for_less_and_gives_the_same(parts):
    """What is left out there are shapes that need a sign."""
    text = "".join(parts)
    everything = text
    for shape in _SHAPES:
        for pattern in shape.patterns:
            everything = pattern.sub(_masked, everything)
    assert Redactor().text(text) == everything


def test_what_was_clean_is_looked_at_again_when_a_secret_is_added():
    """Clean texts are remembered; not beyond the next secret, as values and as names."""
    redactor = Redactor()
    body = {"hidden-name": "hidden-value", "n": 1, "deep": [{"password": "hidden-word"}]}
    for _ in range(2):
        assert redactor.value(body) == {**body, "deep": [{"password": "[redacted]"}]}
    redactor.add(Secret("hidden-name"))
    redactor.add(Secret("hidden-value"))
    assert redactor.value(body) == {"[redacted]": "[redacted]", "n": 1, "deep": [{"password": "[redacted]"}]}


@given(st.text())
def test_redaction_is_stable(text: str) -> None:
    """Redacting twice is redacting once."""
    redactor = Redactor()
    redactor.add(Secret("hunter2-hunter2"))
    once = redactor.text(f"{text} hunter2-hunter2 {text}")
    assert "hunter2-hunter2" not in once
    assert redactor.text(once) == once


def test_values_and_their_keys() -> None:
    """JSON data is masked in texts, keys and lists, and under a name that says what it holds; the rest is kept."""
    redactor = Redactor()
    redactor.add(Secret("hunter2-hunter2"))
    data = {"hunter2-hunter2": ["hunter2-hunter2", 1, None], "api_key": "unknownkey", "tokens": 5, "token": "word"}
    assert redactor.value(data) == {
        "[redacted]": ["[redacted]", 1, None],
        "api_key": "[redacted]",
        "tokens": 5,
        "token": "word",
    }


def test_a_secret_that_is_added_later_is_masked_from_then_on() -> None:
    """What was compiled for the secrets before is not used any more."""
    redactor = Redactor()
    redactor.add(Secret("first-secret"))
    assert redactor.text("first-secret second-secret") == "[redacted] second-secret"
    redactor.add(Secret("second-secret"))
    assert redactor.text("first-secret second-secret") == "[redacted] [redacted]"


def test_longer_secrets_first_and_short_ones_not_at_all() -> None:
    """A secret that begins like another leaves no tail, and `no` in a sentence is no secret."""
    redactor = Redactor()
    for secret in ("abcdef", "abcdef-ghijkl", "no"):
        redactor.add(Secret(secret))
    assert redactor.text("abcdef-ghijkl abcdef no") == "[redacted] [redacted] no"


@dataclass
class Holder:
    """A configuration object that holds a secret."""

    key: Secret


def test_a_secret_shows_itself_nowhere() -> None:
    """repr, str, format, f-strings and dataclasses show a mask; pickles, copies and JSON refuse."""
    secret = Secret(PLANTED)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", "{}".format(secret), "%s" % secret]  # noqa: UP031, UP032
    shown += [repr(Holder(secret)), repr([secret]), repr({"k": secret})]
    assert not any(PLANTED in text or "s3cr" in text for text in shown)
    for write in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, lambda s: asdict(Holder(s))):
        with pytest.raises(TypeError):
            write(secret)
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == PLANTED
    assert secret == Secret(PLANTED)
    assert secret != PLANTED
    assert len({secret, Secret(PLANTED)}) == 1


async def test_where_secrets_come_from() -> None:
    """An empty variable is absent, white space around a key is dropped, and the first that knows the name wins."""
    env = EnvSecrets({"A": " key-a\n", "EMPTY": "  "})
    chain = ChainSecrets(MappingSecrets({"A": "", "B": "key-b"}), env)
    assert await env.get("EMPTY") is None
    assert await chain.get("A") == Secret("key-a")
    assert await chain.get("B") == Secret("key-b")
    assert await chain.get("C") is None


async def test_a_scope_gives_what_is_declared() -> None:
    """A plugin gets the secrets of its manifest, each known to the redactor; all others are refused."""
    redactor = Redactor()
    scope = SecretScope(MappingSecrets({"A": "key-a-123", "B": "key-b-123"}), redactor, frozenset({"A", "C"}), "plug")
    assert (await scope.require("A")).reveal() == "key-a-123"
    assert redactor.text("it is key-a-123") == "it is [redacted]"
    with pytest.raises(ConfigError, match=r"plug asked for the secret B.*not declare"):
        await scope.get("B")
    assert await scope.get("C") is None
    with pytest.raises(ConfigError, match="export C=") as caught:
        await scope.require("C")
    assert caught.value.exit_code == 3


async def test_the_key_is_the_first_declared_name() -> None:
    """A handler asks for its provider's key without its name: the first one, none where none is declared."""
    resolver, redactor = MappingSecrets({"A": "key-a-123", "B": "key-b-123"}), Redactor()
    assert await SecretScope(resolver, redactor, ("B", "A"), "plug").key() == Secret("key-b-123")
    assert redactor.text("it is key-b-123 and not key-a-123") == "it is [redacted] and not key-a-123"
    assert await SecretScope(resolver, redactor, (), "plug").key() is None
    with pytest.raises(ConfigError, match="export C=") as caught:
        await SecretScope(resolver, redactor, ("C", "A"), "plug").key()
    assert caught.value.exit_code == 3


async def test_the_key_reaches_code_that_runs_apart() -> None:
    """A warm start in a thread of its own gets the same key."""
    scope = SecretScope(MappingSecrets({"A": "key-a-123"}), Redactor(), ("A",), "plug")
    at_home = SecretsAtHome(scope, asyncio.get_running_loop())
    assert await run_apart(at_home.key, seconds=10) == Secret("key-a-123")
    assert await run_apart(at_home.account, seconds=10) == await scope.account() != ""


async def test_the_fingerprint_of_an_account() -> None:
    """The same wherever the same key is, another for another key; nothing of the key is in it, nor is it its digest."""
    key = "sk-4fZq9XbN7wLr2KdV8mTc"

    async def account(values: dict[str, str], *declared: str) -> str:
        return await SecretScope(MappingSecrets(values), Redactor(), declared, "plug").account()

    found = await account({"A": key, "B": "key-b-123"}, "A", "B")
    assert re.fullmatch("[0-9a-f]{16}", found)
    assert found == await account({"Z": key}, "Z")
    assert found != await account({"A": key + "d"}, "A")
    assert not any(hashlib.new(name, key.encode()).hexdigest().startswith(found) for name in ("md5", "sha1", "sha256"))
    assert (await account({}, "A"), await account({"A": key})) == ("", "")
