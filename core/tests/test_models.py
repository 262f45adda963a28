"""Model references, operations and catalog rows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import ConfigError
from callsheet.models import ModelInfo, ModelRef, Operation

NAMES = st.text("abcXYZ019._-/:@é", min_size=1, max_size=20)
PROVIDERS = st.text("abcxyz019-", min_size=1, max_size=10)


@pytest.mark.parametrize(
    ("text", "provider", "model", "environment"),
    [
        ("mock:image", "mock", "image", "local"),
        ("  mock:image\n", "mock", "image", "local"),
        ("replicate:owner/name:0123abc", "replicate", "owner/name:0123abc", "local"),
        ("openai:gpt-5@cloud", "openai", "gpt-5", "cloud"),
        ("openai:gpt-5@local", "openai", "gpt-5", "local"),
        ("openai:gpt@2025-01-01", "openai", "gpt@2025-01-01", "local"),
        ("p:a@cloud/b", "p", "a@cloud/b", "local"),
        ("p:a@local@cloud", "p", "a@local", "cloud"),
        ("p:a@Cloud", "p", "a@Cloud", "local"),
        ("p::", "p", ":", "local"),
    ],
)
def test_parse(text: str, provider: str, model: str, environment: str) -> None:
    """The first colon splits, and only `@local` and `@cloud` at the end are an environment."""
    assert ModelRef.parse(text) == ModelRef(provider, model, environment)


@pytest.mark.parametrize(
    "text", ["", "mock", ":", "mock:", ":image", "mock:@cloud", "mo ck:x", "mock:a b", "m:a\x1b[2J"]
)
def test_wrong_references(text: str) -> None:
    """What has no provider or no model, or holds white space or control characters, is refused with an example."""
    with pytest.raises(ConfigError, match="provider:model") as caught:
        ModelRef.parse(text)
    assert "\x1b" not in str(caught.value)


@settings(deadline=None)
@given(PROVIDERS, NAMES, st.sampled_from(["local", "cloud"]))
def test_text_round_trip(provider: str, model: str, environment: str) -> None:
    """Whatever a reference holds, its text reads back as itself."""
    ref = ModelRef(provider, model, environment)
    assert ModelRef.parse(str(ref)) == ref


def test_local_is_not_written() -> None:
    """The default environment is left out of the text unless the model's own name would be read as one."""
    assert str(ModelRef("p", "m")) == "p:m"
    assert str(ModelRef("p", "m", "cloud")) == "p:m@cloud"
    assert str(ModelRef("p", "m@cloud")) == "p:m@cloud@local"


def test_references_are_values() -> None:
    """References sort, compare and hash by what they say."""
    first, second = ModelRef("a", "x"), ModelRef("b", "a")
    assert sorted([second, first]) == [first, second]
    assert len({first, ModelRef.parse("a:x@local")}) == 1


def test_operations_are_their_words() -> None:
    """The operations are the ten of the design, written `noun.verb`."""
    assert len(Operation) == 10
    assert all(op.count(".") == 1 for op in Operation)
    assert ModelInfo("p", "m", Operation.TEXT_EMBED).name == "p:m"
