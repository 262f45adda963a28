"""`callsheet secrets`, `--env-file` and `--log-level`: what is found where, and never what it is."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import click
import pytest

KEY = "toy-k3y-that-nobody-shows"


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Writes the user's own configuration."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(text: str) -> Path:
        path = tmp_path / "config" / "callsheet" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_where_each_secret_is(toy, cli, config, monkeypatch):
    """The names that plugins declare, and the place; in JSON whether one is a key, and what is wrong."""
    config("")
    row = {"name": "TOY_KEY", "provider": "toy", "key": True, "looked_in": "", "problem": ""}
    ended = cli("secrets", "list")
    assert ended.out.splitlines()[1].split() == ["TOY_KEY", "toy", "-"]
    assert cli("secrets", "list", "--json").document["secrets"] == [
        {**row, "found_in": "", "looked_in": "the environment"}
    ]
    monkeypatch.setenv("TOY_KEY", KEY)
    assert cli("secrets", "list", "--json").document == {"secrets": [{**row, "found_in": "the environment"}]}
    ended = cli("secrets", "check")
    assert (ended.code, ended.err) == (0, "every key is there\n")
    assert KEY[:4] not in ended.out


def test_a_missing_key_is_exit_code_3(toy, cli, config):
    """With what to do, and where was looked."""
    config("")
    ended = cli("secrets", "check", "toy")
    assert ended.code == 3
    assert "TOY_KEY (toy): set it with `export TOY_KEY=…` (looked in the environment)" in ended.err
    ended = cli("secrets", "check", "--json")
    assert (ended.code, ended.document["ok"]) == (3, False)
    ended = cli("secrets", "check", "toi")
    assert ended.code == 3
    assert "there is no provider 'toi'; did you mean 'toy'?" in ended.err


CHECKED = """
    async def check_health(self, context):
        if "TOY_REFUSES" in os.environ:
            raise error_for(ErrorKind(os.environ["TOY_REFUSES"]))(f"no: {(await context.secrets.key()).reveal()}")
        Path("asked").touch()

    async def stream("""


@pytest.fixture
def checked(toy, config):
    """The toy provider, which can be asked for nothing."""
    config("")
    source = toy / "__init__.py"
    source.write_text(source.read_text().replace("\n    async def stream(", CHECKED, 1))


@pytest.mark.parametrize(
    ("refuses", "said", "code"),
    [
        ("", ("accepted", "accepted"), 0),
        ("authentication", ("refused", "refused"), 3),
        ("access_denied", ("unknown", "could not ask"), 1),
        ("connection_failed", ("unknown", "could not ask"), 1),
    ],
)
def test_providers_say_whether_they_accept_their_keys(checked, cli, monkeypatch, *, refuses, said, code):
    """Asked for nothing, and only when that is wanted; a key that may not ask this is not called wrong."""
    monkeypatch.setenv("TOY_KEY", KEY)
    assert cli("secrets", "check").code == 0
    assert not Path("asked").exists()
    if refuses:
        monkeypatch.setenv("TOY_REFUSES", refuses)
    ended = cli("secrets", "check", "toy", "--live", "--json")
    [row] = ended.document["live"]
    assert (ended.code, ended.document["ok"], row["key"]) == (code, not code, said[0])
    assert row["problem"] == ("no: [redacted]" if refuses else "")
    told = cli("secrets", "check", "--live")
    assert (told.code, said[1] in told.out, KEY in told.out + told.err) == (code, True, False)
    assert Path("asked").exists() is not bool(refuses)


def test_who_offers_no_free_check_is_not_asked(toy, cli, config, monkeypatch):
    """It is said, and it is no fault; a missing key stays one."""
    config("")
    ended = cli("secrets", "check", "--live")
    assert (ended.code, ended.out.splitlines()[-1].split()) == (3, ["toy", "offers", "no", "free", "check"])
    monkeypatch.setenv("TOY_KEY", KEY)
    assert cli("secrets", "check", "--live").code == 0


def test_a_command_is_run_once_for_both_questions(checked, cli, config, tmp_path):
    """Where the key is, and whether it is accepted."""
    printing = f"open({str(tmp_path / 'ran')!r}, 'a').write('x'); print({KEY!r})"
    config(f"[secrets.commands]\nTOY_KEY = {json.dumps([sys.executable, '-c', printing])}")
    ended = cli("secrets", "check", "--live", "--json")
    assert (ended.code, ended.document["live"]) == (0, [{"provider": "toy", "key": "accepted", "problem": ""}])
    assert (tmp_path / "ran").read_text() == "x"


def test_a_command_is_run_by_check_only(toy, cli, config, tmp_path):
    """A list of secrets opens no password manager."""
    printing = f"open({str(tmp_path / 'ran')!r}, 'a').write('x'); print({KEY!r})"
    config(f"[secrets.commands]\nTOY_KEY = {json.dumps([sys.executable, '-c', printing])}")
    assert cli("secrets", "list", "--json").document["secrets"][0]["found_in"] == "its command (not run)"
    assert not (tmp_path / "ran").exists()
    ended = cli("secrets", "check", "--json")
    assert (ended.code, ended.document["secrets"][0]["found_in"]) == (0, "its command")
    assert (tmp_path / "ran").read_text() == "x"
    config(f"[secrets.commands]\nTOY_KEY = {json.dumps([sys.executable, '-c', 'raise SystemExit(1)'])}")
    ended = cli("secrets", "check")
    assert ended.code == 3
    assert "TOY_KEY (toy): the command for the secret TOY_KEY" in ended.err


def test_a_secret_is_kept_in_the_keyring(toy, cli, config, ring, monkeypatch):
    """Asked for without echo, or read from stdin; who has not switched the keyring on is told how."""
    file = config("")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    ended = cli("secrets", "set", "TOY_KEY")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == (
        "TOY_KEY is kept in the keyring\n"
        f"it is not looked for there yet: write `keyring = true` below [secrets] in {file}\n"
    )
    assert ring.kept == {("callsheet", "TOY_KEY"): KEY}
    config("[secrets]\nkeyring = true")
    assert cli("secrets", "check", "--json").document["secrets"][0]["found_in"] == "the keyring"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked = []
    monkeypatch.setattr(click, "prompt", lambda text, **how: asked.append((text, how["hide_input"])) or "another-key")
    assert cli("secrets", "set", "TOY_KEY").err == "TOY_KEY is kept in the keyring\n"
    assert (asked, ring.kept["callsheet", "TOY_KEY"]) == ([("TOY_KEY", True)], "another-key")


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        (KEY, "", "NAME is the name of a secret, like EXAMPLE_API_KEY"),
        ("TOY_KEY", " \n", "the secret is empty: nothing was changed"),
        ("TOY_KEY", KEY * 10_000, "a secret has 65536 characters at most"),
    ],
)
def test_what_is_no_secret_is_not_kept(toy, cli, config, ring, monkeypatch, *, name, given, why):
    """Also who writes the key in the place of its name does not see it again."""
    config("")
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    ended = cli("secrets", "set", name)
    assert ended.code == 2
    assert why in ended.err
    assert KEY not in ended.err
    assert ring.kept == {}


def test_a_named_file_of_variables(toy, cli, config, tmp_path):
    """`--env-file` takes the place of the configured one; none is read unless it is named."""
    config("")
    Path(".env").write_text(f"TOY_KEY={KEY}\n")
    Path("callsheet.toml").write_text('[secrets]\nenv_file = "elsewhere.env"\n')
    call = ("call", "toy:text", "-p", "prompt=x", "--option", "needs_key=true")
    ended = cli(*call)
    assert ended.code == 3
    assert f"looked in the environment, {Path.cwd() / 'elsewhere.env'} (there is no such file)" in ended.err
    ended = cli("--env-file", ".env", *call)
    assert (ended.code, ended.out) == (0, "text for x\n")
    assert cli("--env-file", ".env", "secrets", "list", "--json").document["secrets"][0]["found_in"] == str(
        Path(".env").absolute()
    )
    assert cli("--env-file", "no.env", *call).code == 2


def test_the_log_is_shown_to_who_asks(toy, cli, config, monkeypatch):
    """On stderr, from the level on that is named; values beside the event, secrets masked, nothing left behind."""
    config("")
    code = toy / "__init__.py"
    logs = (
        'context.log.debug("toy.debug", key=(await context.secrets.key()).reveal(), many=[1, "\\x1b[31m"])\n'
        '        context.log.info("toy.info %s", "of one")\n'
        "        options ="
    )
    code.write_text(code.read_text().replace("options =", logs, 1))
    monkeypatch.setenv("TOY_KEY", KEY)
    call = ("call", "toy:text", "-p", "prompt=x", "--mode", "live")
    ended = cli("--log-level", "debug", *call)
    assert ended.out == "text for x\n"
    assert "debug   toy.debug " in ended.err
    assert "key=[redacted] many=[1, '\\x1b[31m']" in ended.err
    assert "info    toy.info of one " in ended.err
    assert KEY not in ended.err
    assert "\x1b" not in ended.err
    ended = cli("--log-level", "info", *call)
    assert "toy.info" in ended.err
    assert "toy.debug" not in ended.err
    ended = cli(*call)
    assert "toy." not in ended.err
    library = logging.getLogger("callsheet")
    assert library.level == logging.NOTSET
    assert all(isinstance(handler, logging.NullHandler) for handler in library.handlers)
    assert type(logging.lastResort).__name__ == "_StderrHandler"


def test_usage_errors_show_no_key(toy, cli):
    """A key that stands where it does not belong is not printed into the log of a build."""
    ended = cli("call", "toy:text", "-p", "sk-proj-0123456789abcdef")
    assert ended.code == 2
    assert "'[redacted]' is not" in ended.err
    ended = cli("call", "toy:text", "-p", "sk-proj-0123456789abcdef", "--json")
    assert "'[redacted]' is not" in ended.document["error"]["message"]


def test_a_run_whose_input_held_a_secret_is_run_again(toy, cli, config, sheet, monkeypatch):
    """What it was asked for is kept with masks, so it cannot be resumed; asked again, it pays for nothing twice."""
    config("")
    monkeypatch.setenv("TOY_KEY", KEY)
    run = ("run", sheet(), "--json", "--input", f"topic={KEY}")
    first = cli(*run).document
    assert first["executed"] == 3
    ended = cli("resume", first["run"], "--project", "film")
    assert ended.code == 2
    assert "an input of this run held a secret, and secrets are not kept: run the sheet again" in ended.err
    again = cli(*run).document
    assert (again["executed"], again["reused"]) == (0, 3)
    assert KEY not in Path("film/output/manifest.json").read_text()
    with closing(sqlite3.connect("film/.callsheet/ledger.sqlite3")) as ledger:
        for column in ("request FROM runs", "body FROM events", "request FROM calls"):
            kept = [text for (text,) in ledger.execute(f"SELECT {column}")]
            assert "[redacted]" in "".join(kept)
            assert KEY not in "".join(kept)
