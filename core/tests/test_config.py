"""callsheet.toml: what it may say, and what each mistake in it is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.config import CONFIG_NAME, find_project, load_settings, user_config
from callsheet.errors import ConfigError
from callsheet.handler import HandlerSpec
from callsheet.models import ModelRef, Operation
from callsheet.policies import RetryPolicy
from callsheet.settings import ProviderSettings, SecretSettings, Settings
from callsheet.trust import Place, TrustedPlaces

FULL = """
[run]
concurrency = 3
salt = "second take"

[plugins]
allow = ["mock", "acme"]
deny = ["evil"]
pins = { acme = "callsheet-acme" }

[providers.acme]
base_url = "http://127.0.0.1:8000/v1/"

[aliases]
hero = "acme:big"

[[models]]
provider = "cheap"
model = "m"
operation = "text.generate"
wire = "acme:chat"
"""

USERS = """
[run]
concurrency = 5
salt = "mine"

[plugins]
allow = ["mock"]
deny = ["worse", "evil"]
pins = { big = "callsheet-big" }

[providers.acme]
base_url = "https://mine.example"
webhook = "https://hooks.example"

[aliases]
hero = "acme:mine"
draft = "mock:image"

[retry]
attempts = 7
[retry.acme]
seconds = 11

[secrets]
env_file = ".env"
commands = { ACME_KEY = ["pass", "show", "acme"] }
"""

WIRES = ("none", "answers", "other:chat")


def test_everything_is_read(tmp_path: Path) -> None:
    """Each table becomes its part of the settings."""
    (tmp_path / CONFIG_NAME).write_text(FULL)
    settings = load_settings(tmp_path)
    assert (settings.concurrency, settings.salt) == (3, "second take")
    assert (settings.allow, settings.deny) == ({"mock", "acme"}, {"evil"})
    assert settings.pins == {"acme": "callsheet-acme"}
    assert settings.providers == {"acme": ProviderSettings("http://127.0.0.1:8000/v1")}
    assert settings.aliases == {"hero": "acme:big"}
    assert [(m.name, m.operation, m.wire) for m in settings.models] == [
        ("cheap:m", Operation.TEXT_GENERATE, "acme:chat")
    ]
    assert settings.origin == str(tmp_path / CONFIG_NAME)
    assert set(settings.origins.values()) == {settings.origin}


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own file, with something in every table."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = user_config()
    path.parent.mkdir(parents=True)
    path.write_text(USERS)
    return path


def test_the_project_s_file_goes_over_the_user_s_key_by_key(tmp_path: Path, users: Path) -> None:
    """And of each value it is known where it stands."""
    project = tmp_path / CONFIG_NAME
    project.write_text(FULL + "[retry.acme]\nattempts = 2\n")
    settings = load_settings(tmp_path)
    assert (settings.concurrency, settings.salt) == (3, "second take")
    assert settings.pins == {"acme": "callsheet-acme", "big": "callsheet-big"}
    assert settings.providers == {"acme": ProviderSettings("http://127.0.0.1:8000/v1", webhook="https://hooks.example")}
    assert settings.aliases == {"hero": "acme:big", "draft": "mock:image"}
    assert settings.policies.retry("acme") == RetryPolicy(attempts=2, seconds=11)
    assert settings.policies.retry("other") == RetryPolicy(attempts=7)
    assert settings.origin == str(project)
    for key, path in {
        ("run", "salt"): project,
        ("providers", "acme", "base_url"): project,
        ("providers", "acme", "webhook"): users,
        ("aliases", "draft"): users,
        ("retry", "attempts"): users,
        ("retry", "acme", "attempts"): project,
        ("retry", "acme", "seconds"): users,
    }.items():
        assert settings.origins[key] == str(path), key


def test_the_user_s_file_counts_outside_of_projects(tmp_path: Path, users: Path) -> None:
    """Where no callsheet.toml is."""
    settings = load_settings(tmp_path)
    assert (settings.concurrency, settings.aliases["hero"], settings.origin) == (5, "acme:mine", "")
    assert settings.secrets == SecretSettings(
        str(users.parent / ".env"), commands={"ACME_KEY": ("pass", "show", "acme")}
    )


def test_a_plugin_that_the_user_denies_stays_denied(tmp_path: Path, users: Path) -> None:
    """A project that was cloned brings nothing back."""
    (tmp_path / CONFIG_NAME).write_text("[plugins]\ndeny = []\n")
    assert load_settings(tmp_path).deny == {"worse", "evil"}
    (tmp_path / CONFIG_NAME).write_text('[plugins]\ndeny = ["third"]\n')
    settings = load_settings(tmp_path)
    assert settings.deny == {"worse", "evil", "third"}
    assert settings.origins["plugins", "deny"] == f"{users} and {tmp_path / CONFIG_NAME}"


def test_a_plugin_has_to_be_allowed_by_both(tmp_path: Path, users: Path) -> None:
    """A project that was cloned narrows what the user allows, and never widens it; however the names are written."""
    users.write_text('[plugins]\nallow = ["mock", "Callsheet_Acme"]\n')
    assert load_settings(tmp_path).allow == {"mock", "Callsheet_Acme"}
    project = tmp_path / CONFIG_NAME
    for said, allowed in (
        ('["evil", "mock"]', {"mock"}),
        ('["callsheet-acme"]', {"Callsheet_Acme"}),
        ('["evil"]', set()),
        ("[]", set()),
    ):
        project.write_text(f"[plugins]\nallow = {said}\n")
        settings = load_settings(tmp_path)
        assert settings.allow == allowed
        assert settings.origins["plugins", "allow"] == f"{users} and {project}"
    users.unlink()
    assert (load_settings(tmp_path).allow, load_settings(tmp_path).origins["plugins", "allow"]) == (set(), str(project))


def test_a_provider_may_stand_in_two_files(tmp_path: Path, users: Path) -> None:
    """What belongs together is checked together, and the complaint names the file of the key that wants another."""
    users.write_text('[providers.groq]\nwire = "acme:chat"\n')
    project = tmp_path / CONFIG_NAME
    project.write_text('[providers.groq]\nbase_url = "https://groq.example"\nsecret = "GROQ_KEY"\n')
    assert load_settings(tmp_path).providers == {
        "groq": ProviderSettings("https://groq.example", "acme:chat", "GROQ_KEY")
    }
    project.write_text("")
    with pytest.raises(ConfigError, match="a lent wire needs its base_url") as error:
        load_settings(tmp_path)
    assert str(users) in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[runs]", "unknown key 'runs'; did you mean 'run'"),
        ("[[models]]", "model rows of your own stand in files of the folder .*models"),
        ("[retry]\nattempts = 0", r"\[retry\]: attempts must be a whole number"),
        ('[secrets]\nACME_KEY = "sk-123456"', "unknown key 'ACME_KEY'.*the keys themselves never stand in this file"),
        ('[secrets]\ncommands = { ACME_KEY = "sk-123456" }', "ACME_KEY must be a command as a list of its words"),
        ('[secrets.commands]\nACME_KEY = ["sk-123456", ""]', "ACME_KEY must be a command as a list of its words"),
        ('[secrets.commands]\nkey = ["pass"]', "'key' is not the name of a secret like EXAMPLE_API_KEY"),
        ("[secrets]\nkeyring = 1", "keyring must be true or false"),
    ],
)
def test_each_mistake_in_the_user_s_file_names_it(tmp_path: Path, users: Path, text: str, said: str) -> None:
    """Also when the project's file would win. What might be a secret is not shown."""
    users.write_text(text)
    (tmp_path / CONFIG_NAME).write_text(FULL)
    with pytest.raises(ConfigError, match=said) as error:
        load_settings(tmp_path)
    assert str(users) in str(error.value)
    assert "sk-123456" not in str(error.value)


def test_a_project_brings_no_commands(tmp_path: Path) -> None:
    """A sheet that was cloned must not run programs; where the variables stand, it may say."""
    (tmp_path / CONFIG_NAME).write_text('[secrets]\nenv_file = "keys/.env"\nkeyring = true\n')
    assert load_settings(tmp_path).secrets == SecretSettings(str(tmp_path / "keys" / ".env"), keyring=True)
    (tmp_path / CONFIG_NAME).write_text('[secrets.commands]\nACME_KEY = ["rm", "-rf", "x"]\n')
    with pytest.raises(ConfigError, match=r"\[commands\]: commands .* stand in your own config.toml"):
        load_settings(tmp_path)


def test_a_vendor_without_a_package_is_four_lines(tmp_path: Path) -> None:
    """A wire that is lent, a URL, the name of the secret; its rows take that wire unless they name another."""
    row = '[[models]]\nprovider = "groq"\noperation = "text.generate"\n'
    (tmp_path / CONFIG_NAME).write_text(
        '[providers.groq]\nwire = "acme:chat"\nbase_url = "https://api.groq.example/v1"\nsecret = "GROQ_API_KEY"\n'
        '[providers.local]\nwire = "acme:chat"\nbase_url = "http://localhost:11434/v1"\n'
        + "".join(f'{row}model = "{wire}"\n' + (f'wire = "{wire}"\n' if wire != "none" else "") for wire in WIRES)
    )
    settings = load_settings(tmp_path)
    assert settings.providers == {
        "groq": ProviderSettings("https://api.groq.example/v1", "acme:chat", "GROQ_API_KEY"),
        "local": ProviderSettings("http://localhost:11434/v1", "acme:chat"),
    }
    assert [row.wire for row in settings.models] == ["acme:chat", "acme:answers", "other:chat"]


def test_no_file_and_an_empty_one_are_the_defaults(tmp_path: Path) -> None:
    """Only the file's name is kept."""
    assert load_settings(tmp_path) == Settings()
    (tmp_path / CONFIG_NAME).write_text("")
    assert load_settings(tmp_path) == Settings(origin=str(tmp_path / CONFIG_NAME))
    (tmp_path / CONFIG_NAME).write_text("[plugins]\nallow = []\n")
    assert load_settings(tmp_path).allow == frozenset()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[run]", "[runs]", "unknown key 'runs'; did you mean 'run'"),
        ("concurrency = 3", "concurency = 3", r"\[run\]: unknown key 'concurency'; did you mean 'concurrency'"),
        ("concurrency = 3", "concurrency = 0", r"\[run\]: concurrency must be a whole number from 1 to 1000"),
        ("concurrency = 3", "concurrency = true", r"\[run\]: concurrency must be a whole number"),
        ("[providers.acme]", "[providers.acme]\nconcurrency = 2", "unknown key 'concurrency'"),
        ('allow = ["mock", "acme"]', 'allow = "mock"', r"\[plugins\]: allow must be a list of texts"),
        ('"callsheet-acme"', "1", "acme must be text"),
        ("base_url =", 'wire = "chat"\nbase_url =', "wire must be provider:wire, the wire of an installed plugin"),
        ("base_url =", 'wire = "acme:chat"\nbase_url =', "is a wire of its own: name the plugin that lends it"),
        ('base_url = "http://127.0.0.1:8000/v1/"', 'wire = "big:chat"', "a lent wire needs its base_url"),
        ("base_url =", 'secret = "ACME_KEY"\nbase_url =', "secret goes with wire"),
        ("base_url =", 'wire = "b:c"\nsecret = "sk-123456"\nbase_url =', "never the key itself"),
        ("base_url =", 'wire = "b:c"\nsecret = 123456\nbase_url =', "never the key itself"),
        ("base_url =", 'token = "sk-123456"\nbase_url =', r'\(secret = "NAME" says which variable\)'),
        ("[providers.acme]", "[providers.Acme]", "'Acme' is not a provider's name"),
        ("[providers.acme]", '[providers.acme]\napi_key = "sk-123456"', "secrets come from the environment"),
        ("http://127", "ftp://127", "base_url must be a URL"),
        ("base_url =", 'webhook = "http://hooks.example.com/x"\nbase_url =', "webhook must begin with https://"),
        (
            "base_url =",
            'webhook = "https://u:p@hooks.example.com"\nbase_url =',
            "webhook must be a URL without user name",
        ),
        ("base_url", "base_uri", "unknown key 'base_uri'; did you mean 'base_url'"),
        ("hero =", '"he:ro" =', "'he:ro' cannot be an alias"),
        ('"acme:big"', '" "', "hero must name a model"),
        ('provider = "cheap"', "", "models 1: needs a provider"),
        ('model = "m"', 'modle = "m"', r"cheap:\?: unknown key 'modle'; did you mean 'model'"),
        ("[[models]]", "[models]", r"write \[\[models\]\]"),
        ('salt = "second take"', "salt = ", "at line 4"),
    ],
)
def test_each_mistake_names_file_key_and_remedy(tmp_path: Path, old: str, new: str, said: str) -> None:
    """And never shows what might be a secret."""
    (tmp_path / CONFIG_NAME).write_text(FULL.replace(old, new, 1))
    with pytest.raises(ConfigError, match=said) as error:
        load_settings(tmp_path)
    assert str(tmp_path / CONFIG_NAME) in str(error.value)
    assert "sk-123456" not in str(error.value)
    assert error.value.exit_code == 2


def test_a_model_stands_there_once(tmp_path: Path) -> None:
    """The second one is named."""
    (tmp_path / CONFIG_NAME).write_text(FULL + FULL[FULL.index("[[models]]") :])
    with pytest.raises(ConfigError, match="models 2: cheap:m stands here twice"):
        load_settings(tmp_path)


def test_an_endless_file_is_refused(tmp_path: Path) -> None:
    """One MiB is a hundred times what anybody writes."""
    (tmp_path / CONFIG_NAME).write_text("#" * (1 << 20) + "\n")
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_settings(tmp_path)


def test_the_project_is_the_nearest_folder_with_the_file(tmp_path: Path) -> None:
    """Else the folder one is in."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_project(inner) == inner
    (tmp_path / CONFIG_NAME).write_text("")
    assert find_project(inner) == tmp_path
    (tmp_path / "a" / CONFIG_NAME).mkdir()
    assert find_project(inner) == tmp_path
    (inner / CONFIG_NAME).write_text("")
    assert find_project(inner) == inner


@pytest.mark.parametrize("url", ["https://hooks.example.com/replicate", "http://127.0.0.1:8000/hook"])
def test_a_webhook_goes_to_its_provider(tmp_path, fakes, url):
    """It is what the handler gets for a call, and for no other provider's."""
    (tmp_path / "callsheet.toml").write_text(f'[providers.acme]\nwebhook = "{url}"\n')
    TrustedPlaces().write(tmp_path, [Place("acme", "", webhook=url)])
    settings = load_settings(tmp_path)
    plugins = [
        (name, fakes.PluginOf(HandlerSpec(name, fakes.EchoHandler)), fakes.manifest(name, open_models=True))
        for name in ("acme", "other")
    ]
    registry = fakes.registry_of(*plugins, settings=settings)
    bound = [registry.resolve(ModelRef(name, "m"), Operation.TEXT_GENERATE) for name in ("acme", "other")]
    assert [each.webhook for each in bound] == [url, ""]
