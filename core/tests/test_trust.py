"""Keys go to a place of a project's own choosing only when its user has said so."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callsheet.access import access_of, borrowed_access
from callsheet.config import CONFIG_NAME, load_settings, user_config
from callsheet.errors import ConfigError
from callsheet.models import ModelInfo, Operation
from callsheet.trust import Place, TrustedPlaces, places_of

ELSEWHERE = '[providers.acme]\nbase_url = "https://elsewhere.example/v1"\n'
PLACE = Place("acme", "https://elsewhere.example/v1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folders."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def settings_with(project: Path, text: str):
    """The settings of a project with this file."""
    (project / CONFIG_NAME).write_text(text)
    return load_settings(project)


@pytest.fixture
def acme(fakes):
    """A plugin with a key and a URL of its own."""
    row = {"model": "m", "operation": "text.generate"}
    table = {"secrets": ["ACME_KEY"], "origin": "https://api.acme.example", "origin_env": "ACME_URL"}
    plugin = fakes.PluginOf()
    registry = fakes.registry_of(("acme", plugin, fakes.manifest("acme", row, **table)))
    return registry._host.discovery.plugins[0]


INFO = ModelInfo("acme", "m", Operation.TEXT_GENERATE)


def test_a_key_waits_for_the_user_s_word(project, acme):
    """Until then nothing is asked there; what is trusted is this place in this project."""
    settings = settings_with(project, ELSEWHERE)
    with pytest.raises(ConfigError, match=r"sends the key of acme to https://elsewhere\.example/v1.*callsheet trust"):
        access_of(acme, INFO, settings, {})
    assert access_of(acme, INFO, settings, {"ACME_URL": "https://mine.example"}).origin == "https://mine.example"
    TrustedPlaces().write(project, [PLACE])
    assert access_of(acme, INFO, load_settings(project), {}).origin == PLACE.base_url
    moved = settings_with(project, ELSEWHERE.replace("/v1", "/v2"))
    with pytest.raises(ConfigError, match="/v2"):
        access_of(acme, INFO, moved, {})
    other = project.parent / "other"
    other.mkdir()
    with pytest.raises(ConfigError, match="callsheet trust"):
        access_of(acme, INFO, settings_with(other, ELSEWHERE), {})


def test_a_borrowed_wire_waits_too(project, acme):
    """Whichever of the user's keys the project names."""
    text = (
        '[providers.cheap]\nwire = "acme:chat"\nbase_url = "https://cheap.example"\nsecret = "AWS_SECRET_ACCESS_KEY"\n'
    )
    settings = settings_with(project, text)
    with pytest.raises(ConfigError, match=r"sends AWS_SECRET_ACCESS_KEY to https://cheap\.example"):
        borrowed_access("cheap", None, acme, settings, {})
    TrustedPlaces().write(project, [Place("cheap", "https://cheap.example", "ACME_KEY")])
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY"):
        borrowed_access("cheap", None, acme, load_settings(project), {})
    keyless = settings_with(project, text.partition("secret")[0])
    assert borrowed_access("cheap", None, acme, keyless, {}).secrets == ()


@pytest.mark.parametrize("url", ["http://localhost:11434/v1", "http://127.0.0.1:8000", "http://[::1]:9"])
def test_this_machine_needs_no_word(project, acme, url):
    """A local server, or a loopback counterpart in a test."""
    settings = settings_with(project, ELSEWHERE.replace(PLACE.base_url, url))
    assert access_of(acme, INFO, settings, {}).origin == url
    assert places_of(settings.providers, settings.origins, settings.origin) == []


def test_the_user_s_own_file_needs_no_word(project, acme):
    """But another key for the place that it names does."""
    user_config().parent.mkdir(parents=True)
    user_config().write_text(ELSEWHERE)
    assert access_of(acme, INFO, load_settings(project), {}).origin == PLACE.base_url
    text = '[providers.cheap]\nwire = "acme:chat"\nbase_url = "https://cheap.example"\n'
    user_config().write_text(text)
    settings = settings_with(project, '[providers.cheap]\nsecret = "ACME_KEY"\n')
    with pytest.raises(ConfigError, match=r"sends ACME_KEY to https://cheap\.example"):
        borrowed_access("cheap", None, acme, settings, {})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"trusted": 1}', '{"trusted": {"x": [["acme"]]}}'])
def test_a_file_that_cannot_be_read_trusts_nothing(project, text):
    """And is written anew by the next word."""
    known = TrustedPlaces()
    known.file.parent.mkdir(parents=True)
    known.file.write_text(text)
    assert known.of(project) == frozenset()
    known.write(project, [PLACE])
    assert known.of(project) == {PLACE}
    known.write(project, [])
    assert json.loads(known.file.read_text()) == {"trusted": {}}


HOOKED = '[providers.acme]\nwebhook = "https://elsewhere.example/hook"\n'


def test_a_webhook_waits_for_the_user_s_word(project, acme):
    """What a job takes and gives is posted there, whichever way the provider is reached, and without a key as well."""
    settings = settings_with(project, HOOKED)
    refused = r"sends what the jobs of acme take and give to https://elsewhere\.example/hook.*callsheet trust"
    with pytest.raises(ConfigError, match=refused):
        access_of(acme, INFO, settings, {"ACME_URL": "https://mine.example"})
    lent = HOOKED.replace("acme", "cheap") + 'wire = "acme:chat"\nbase_url = "http://localhost:1"\n'
    keyless = settings_with(project, lent)
    with pytest.raises(ConfigError, match=refused.replace("acme", "cheap")):
        borrowed_access("cheap", None, acme, keyless, {})
    TrustedPlaces().write(project, [Place("acme", "https://elsewhere.example/hook")])
    with pytest.raises(ConfigError, match=refused):  # the word was for a base URL
        access_of(acme, INFO, settings_with(project, HOOKED), {})
    TrustedPlaces().write(project, [Place("acme", "", webhook="https://elsewhere.example/hook")])
    assert access_of(acme, INFO, load_settings(project), {}).webhook == "https://elsewhere.example/hook"
    both = settings_with(project, f"{ELSEWHERE}{HOOKED.partition(chr(10))[2]}")
    with pytest.raises(ConfigError, match="the key of acme"):
        access_of(acme, INFO, both, {})
    TrustedPlaces().write(project, places_of(both.providers, both.origins, both.origin))
    assert access_of(acme, INFO, load_settings(project), {}).origin == PLACE.base_url


def test_a_webhook_of_the_user_s_own_or_on_this_machine_needs_no_word(project, acme):
    """Nobody else chose it; nobody else is told."""
    user_config().parent.mkdir(parents=True)
    user_config().write_text(HOOKED)
    assert access_of(acme, INFO, settings_with(project, ""), {}).webhook
    local = settings_with(project, HOOKED.replace("https://elsewhere.example", "http://127.0.0.1:8000"))
    assert access_of(acme, INFO, local, {}).webhook == "http://127.0.0.1:8000/hook"


def test_words_at_once_are_all_kept(tmp_path):
    """Each is for another project; none is lost, and none that was taken back comes again."""
    known = TrustedPlaces()
    known.write(tmp_path / "old", [PLACE])
    said = [tmp_path / f"project-{number}" for number in range(8)]
    with ThreadPoolExecutor(9) as writers:
        for project in said:
            writers.submit(TrustedPlaces().write, project, [PLACE])
        writers.submit(TrustedPlaces().write, tmp_path / "old", [])
    assert [known.of(project) for project in said] == [{PLACE}] * 8
    assert known.of(tmp_path / "old") == frozenset()


def test_a_file_that_cannot_be_opened_is_not_written_over(project, tmp_path):
    """It may hold what was said of other projects."""
    known = TrustedPlaces(tmp_path / "trusted.json")
    known.file.symlink_to(known.file)
    assert known.of(project) == frozenset()
    with pytest.raises(ConfigError, match="cannot write"):
        known.write(project, [PLACE])
    assert known.file.is_symlink()


@pytest.mark.parametrize(
    ("mine", "theirs", "holds", "whose"),
    [
        ("max_run = 5", "max_run = 50", "5", 0),
        ("max_run = 5", "max_run = 2", "2", 1),
        ("max_day = 5", 'max_day = "none"', "5", 0),
        ('max_day = "none"', "max_day = 3", "3", 1),
        ("confirm_above = 1", "confirm_above = 9", "1", 0),
        ('unknown = "refuse"', 'unknown = "allow"', "refuse", 0),
        ('unknown = "allow"', 'unknown = "refuse"', "refuse", 1),
    ],
)
def test_a_project_lowers_what_may_be_spent_and_never_raises_it(project, mine, theirs, holds, whose):
    """It is known whose word counts."""
    user_config().parent.mkdir(parents=True)
    user_config().write_text(f"[money]\n{mine}\n")
    settings = settings_with(project, f"[money]\n{theirs}\n")
    key = mine.partition(" ")[0]
    assert str(getattr(settings.policies.money, {"unknown": "unknown"}.get(key, key))) == holds
    assert settings.origins["money", key] == str((user_config(), project / CONFIG_NAME)[whose])
