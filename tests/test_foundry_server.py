"""The server that plays Foundry does what the vendor's document says, and nothing else."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from PIL import Image

FILE = Path(__file__).parent / "foundry_server.py"
spec = importlib.util.spec_from_file_location("callsheet_foundry_server", FILE)
foundry = importlib.util.module_from_spec(spec)
spec.loader.exec_module(foundry)

ORDER = {"model": "caster-2", "brief": "a bell tower", "label": "tower-1"}
PNG = io.BytesIO()
Image.new("RGB", (4, 4)).save(PNG, "PNG")


@pytest.fixture
def server():
    """The vendor; at the end, its document has nothing to object to."""
    with foundry.FoundryServer() as running:
        yield running


@pytest.fixture
def ask(server):
    """One request with the key: the answer."""
    with httpx2.Client(base_url=server.origin, headers={"foundry-key": server.key}, trust_env=False) as client:
        yield lambda method, path, **more: client.request(method, server.origin + path, **more)


def ordered(ask, **more):
    """A casting that was accepted."""
    answer = ask("POST", "/castings", json={**ORDER, **more})
    assert answer.status_code == 202, answer.text
    return answer.json()["casting"]


def ended(ask, casting):
    """The casting when it is over."""
    for _ in range(9):
        casting = ask("GET", f"/castings/{casting['id']}").json()["casting"]
        if casting["state"] not in foundry.ON_THE_WAY:
            return casting
    raise AssertionError(casting)


def test_the_document_is_one():
    """OpenAPI 3.1, whose references lead somewhere; each operation tells of a wrong key and of too many requests."""
    whole = json.loads(foundry.DOCUMENT.read_text(encoding="utf-8"))
    assert whole["openapi"].startswith("3.1")
    operations = [each for verbs in whole["paths"].values() for each in verbs.values()]
    assert len({each["operationId"] for each in operations}) == len(operations) == 7
    assert all({"401", "429"} <= each["responses"].keys() for each in operations)
    known = {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}
    assert set(_references(whole)) == known


def _references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


@pytest.mark.parametrize(("aspect", "size"), foundry.SIZES.items())
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_picture_is_ordered_asked_for_and_fetched(server, ask, aspect, size, kind):
    """Of the size and the kind that were asked for; it is charged when it is cast."""
    casting = ended(ask, ordered(ask, aspect=aspect, file_type=kind))
    assert (casting["state"], casting["percent"]) == ("cast", 100)
    piece = casting["piece"]
    file = ask("GET", piece["url"].removeprefix(server.origin))
    assert file.headers["content-type"] == piece["media_type"] == f"image/{kind}"
    assert Image.open(io.BytesIO(file.content)).size == size == (piece["width"], piece["height"])
    assert server.credit == pytest.approx(10 - 0.045)
    assert len(server.paid) == 1


def test_a_casting_is_scrapped_at_once_or_a_little_later(server, ask):
    """As the document says; it is not charged, and what is over stays as it is."""
    first, second = ordered(ask), ordered(ask)
    assert ask("POST", f"/castings/{first['id']}/scrap").json()["casting"]["state"] == "scrapped"
    for _ in range(2):
        ask("GET", f"/castings/{second['id']}")
    assert ask("POST", f"/castings/{second['id']}/scrap").json()["casting"]["state"] == "pouring"
    assert server.running == [second["id"]]
    assert ended(ask, second)["state"] == "scrapped"
    again = ask("POST", f"/castings/{second['id']}/scrap")
    assert (again.status_code, again.json()["fault"]["reason"]) == (409, "over_already")
    assert (server.running, server.credit) == ([], 10)


def test_castings_are_found_by_their_label(ask):
    """The newest first, and none where there is none."""
    first, _, third = ordered(ask), ordered(ask, label="other"), ordered(ask)
    found = ask("GET", "/castings?label=tower-1").json()["castings"]
    assert [each["id"] for each in found] == [third["id"], first["id"]]
    assert len(ask("GET", "/castings").json()["castings"]) == 3
    assert ask("GET", "/castings?label=nobody").json() == {"castings": []}


def test_a_picture_is_uploaded_and_referred_to(ask):
    """By the model that takes one."""
    answer = ask("POST", "/assets", files={"picture": ("a.png", PNG.getvalue(), "image/png")})
    assert answer.status_code == 201
    assert ended(ask, ordered(ask, reference=answer.json()["id"]))["state"] == "cast"


@pytest.mark.parametrize(
    ("order", "status", "reason"),
    [
        ({"model": "caster-9"}, 400, "field_wrong"),
        ({"brief": ""}, 400, "field_wrong"),
        ({"seed": 1}, 400, "field_wrong"),
        ({"mold": -1}, 400, "field_wrong"),
        ({"model": "etcher-1", "avoid": "people"}, 400, "field_wrong"),
        ({"reference": "asset_000000000000"}, 404, "nothing_there"),
        ({"brief": "something forbidden"}, 422, "brief_refused"),
    ],
)
def test_an_order_that_is_wrong_is_refused(server, ask, order, status, reason):
    """Nothing is accepted then."""
    answer = ask("POST", "/castings", json={**ORDER, **order})
    assert (answer.status_code, answer.json()["fault"]["reason"]) == (status, reason)
    assert (server.castings, server.paid) == ({}, [])


def test_too_many_castings_have_to_wait(server, ask):
    """So many milliseconds."""
    for _ in range(server.most):
        ordered(ask)
    answer = ask("POST", "/castings", json=ORDER)
    assert (answer.status_code, answer.headers["foundry-retry-in-ms"]) == (429, "1500")


def test_who_has_no_credit_or_no_key_gets_nothing(server, ask):
    """A wrong key, an empty account, a file that is none."""
    server.credit = 0
    assert ask("POST", "/castings", json=ORDER).json()["fault"]["reason"] == "credit_spent"
    wrong = ask("GET", "/account", headers={"foundry-key": "another"})
    assert (wrong.status_code, wrong.json()["fault"]["reason"]) == (401, "key_unknown")
    assert ask("GET", "/account").json() == {"name": "a test", "credit": 0}
    assert ask("GET", "/castings/cast_000000000000").status_code == 404
    for data, reason in ((b"GIF89a", "file_not_taken"), (bytes(foundry.LARGEST + 1), "file_too_large")):
        answer = ask("POST", "/assets", files={"picture": ("a", data, "image/png")})
        assert answer.json()["fault"]["reason"] == reason


@pytest.mark.parametrize(
    ("brief", "reason"), [("something shocking", "piece_withheld"), ("something impossible", "furnace_broke")]
)
def test_a_casting_can_crack(server, ask, brief, reason):
    """And says why; it is not charged."""
    casting = ended(ask, ordered(ask, brief=brief))
    assert (casting["state"], casting["fault"]["reason"]) == ("cracked", reason)
    assert server.credit == 10


def test_it_can_be_made_to_go_on_and_to_fail(server, ask):
    """`endless` and `failing`, as for every vendor's counterpart."""
    server.endless = True
    casting = ordered(ask)
    assert [ask("GET", f"/castings/{casting['id']}").json()["casting"]["state"] for _ in range(3)] == ["melting"] * 3
    server.endless, server.failing = False, True
    assert ended(ask, casting)["state"] == "cracked"


def test_the_judge_sees_what_is_not_in_the_document():
    """An answer of another shape, and one that is not described."""
    document = foundry.Document()
    seen = foundry.Exchange("GET", "/account", {}, {}, b"", status=200, reply={"name": 1, "credit": 1})
    assert "name" in document.answered(seen)[0]
    assert document.answered(foundry.Exchange("GET", "/account", {}, {}, b"", status=418)) != []


def test_it_runs_as_a_program():
    """It says where it is and with which key, and ends when it is told to."""
    process = subprocess.Popen([sys.executable, str(FILE)], stdout=subprocess.PIPE, text=True)
    try:
        told = dict(process.stdout.readline().strip().split("=", 1) for _ in range(2))
        answer = httpx2.get(
            f"{told['FOUNDRY_BASE_URL']}/account", headers={"foundry-key": told["FOUNDRY_API_KEY"]}, trust_env=False
        )
        assert answer.status_code == 200
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0
