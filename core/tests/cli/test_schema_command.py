"""`callsheet schema`: what an editor is given."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest

from callsheet.cli import main
from callsheet.cli.schema import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_printed(capsys, kind):
    """It is a JSON Schema of the draft that editors read, and names its file."""
    with pytest.raises(SystemExit) as ended:
        main(["schema", kind])
    printed = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert printed["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert KINDS[kind] in printed["title"]
    assert not jsonschema_rs.validator_for(printed).is_valid({"no such key": 1})


def test_an_unknown_kind_is_a_usage_error(capsys):
    """With the kinds that there are."""
    with pytest.raises(SystemExit) as ended:
        main(["schema", "sheets"])
    assert ended.value.code == 2
    assert "'plugin', 'config', 'sheet'" in capsys.readouterr().err
