"""Plays Foundry, the vendor of vendor_specs/foundry/openapi.json, on this machine; the document judges every exchange.

`python tests/foundry_server.py` serves until it is interrupted, and prints the base URL and the key.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import jsonschema_rs
from PIL import Image, UnidentifiedImageError

from callsheet.testing import Exchange, LoopbackServer, Reply

DOCUMENT = Path(__file__).parent / "vendor_specs" / "foundry" / "openapi.json"
KEY = "fk-test-2f9d61c0a7"
SIZES = {"1:1": (512, 512), "16:9": (768, 432), "9:16": (432, 768), "3:2": (624, 416)}
LARGEST = 8_000_000
RETRY_MS = 1500
DAY = 24 * 3600
REFUSED, WITHHELD, BREAKS = "forbidden", "shocking", "impossible"
"""Words in a brief: it is refused; its picture is withheld; the furnace breaks."""
ON_THE_WAY = ("queued", "melting", "pouring")
STATUS_OF = {
    "field_wrong": 400, "key_unknown": 401, "credit_spent": 402, "model_barred": 403, "nothing_there": 404, "over_already": 409,
    "file_too_large": 413, "file_not_taken": 415, "brief_refused": 422, "too_many": 429, "furnace_broke": 500, "closed": 503,
}  # fmt: skip


class Document:
    """The vendor's document as judge of requests and of answers."""

    def __init__(self) -> None:
        self.whole = json.loads(DOCUMENT.read_text(encoding="utf-8"))
        places = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in self.whole["paths"]}
        self._places = places

    def operation(self, method: str, path: str) -> dict | None:
        """What the document says of a request, or None when there is no such thing."""
        for place, pattern in self._places.items():
            if pattern.fullmatch(path):
                return self.whole["paths"][place].get(method.lower())
        return None

    @cache  # noqa: B019 - one document for all tests
    def checker(self, schema: str) -> jsonschema_rs.Validator:
        """A validator of one of the document's schemas, given as JSON."""
        root = {"components": self.whole["components"], **json.loads(schema)}
        return jsonschema_rs.Draft202012Validator(root, validate_formats=True)

    def problem(self, schema: dict, value: object) -> str:
        """The first thing that is wrong with a value, or nothing."""
        found = next(self.checker(json.dumps(schema)).iter_errors(value), None)
        return "" if found is None else f"{'.'.join(map(str, found.instance_path)) or 'it'}: {found.message}"

    def answered(self, seen: Exchange) -> list[str]:
        """What is wrong with an answer of the server itself."""
        operation = self.operation(seen.method, seen.path)
        if seen.status == 0 or operation is None:
            return []
        described = operation["responses"].get(str(seen.status))
        if described is None:
            return [f"{seen.method} {seen.path}: the document has no answer {seen.status}"]
        if seen.reply is None:  # a file, or an answer that a test has planned
            return []
        schema = described["content"].get("application/json", {}).get("schema", False)
        problem = self.problem({"allOf": [schema]}, seen.reply)
        return [f"{seen.method} {seen.path}: {problem}"] if problem else []


class FoundryServer(LoopbackServer):
    """`credit` is in US dollars; `castings`, `assets` are what the account has; `most` castings may be under way at once."""

    prefix = "/v2"
    wait_header = "foundry-retry-in-ms"

    def __init__(self, *, key: str = KEY, credit: float = 10.0, most: int = 4) -> None:
        self.document = Document()
        super().__init__(judge=self.document.answered)
        self.key, self.credit, self.most = key, credit, most
        self.castings: dict[str, dict] = {}
        self.assets: dict[str, bytes] = {}
        self._orders: dict[str, dict] = {}
        self.route("POST", "/castings", "order", paid=True)(self._order)
        self.route("GET", "/castings", "list")(self._list)
        self.route("GET", "/castings/{id}", "read")(self._read)
        self.route("POST", "/castings/{id}/scrap", "scrap")(self._scrap)
        self.route("GET", "/pieces/{id}", "piece")(self._piece)
        self.route("POST", "/assets", "upload")(self._upload)
        self.route("GET", "/account", "account")(lambda _: {"name": "a test", "credit": self.credit})

    @property
    def running(self) -> list[str]:
        """The castings on the way."""
        return [name for name, each in self.castings.items() if each["state"] in ON_THE_WAY]

    def answer(self, request: Exchange) -> Reply:
        """401 without the key, 404 for what is not there."""
        if request.headers.get("foundry-key") != self.key:
            return refused("key_unknown", "This key is not known here.")
        named = request.params.get("id")
        if not request.route or (named is not None and named not in self.castings):
            return refused("nothing_there", f"{request.path} is not there.")
        return super().answer(request)

    def _order(self, request: Exchange) -> Reply:
        schema = {"$ref": "#/components/schemas/Order"}
        try:
            order = request.json
        except ValueError:
            return refused("field_wrong", "This is no JSON.")
        problem = self.document.problem(schema, order)
        if not problem and order["model"] != "caster-2" and (order.keys() & {"avoid", "reference"}):
            problem = f"{order['model']} takes neither avoid nor reference"
        if problem:
            return refused("field_wrong", problem)
        if "reference" in order and order["reference"] not in self.assets:
            return refused("nothing_there", f"There is no asset {order['reference']}.")
        if REFUSED in order["brief"]:
            return refused("brief_refused", "We do not draw this.")
        if self.credit <= 0:
            return refused("credit_spent", "The account has no credit left.")
        if len(self.running) >= self.most:
            return refused("too_many", f"{self.most} castings are on the way.")
        name = f"cast_{hashlib.sha256(f'{self.port} {len(self.castings)}'.encode()).hexdigest()[:12]}"
        casting = {
            "id": name,
            "state": "queued",
            "model": order["model"],
            "ordered_at": moment(time.time()),
            "percent": 0,
        }
        if "label" in order:
            casting["label"] = order["label"]
        self.castings[name], self._orders[name] = casting, order
        return Reply(202, {"casting": dict(casting)})

    def _list(self, request: Exchange) -> dict:
        wanted = request.query.get("label")
        found = [dict(each) for each in self.castings.values() if wanted is None or each.get("label") == wanted]
        return {"castings": found[::-1][:50]}

    def _read(self, request: Exchange) -> dict:
        casting = self.castings[request.params["id"]]
        match casting["state"]:
            case "queued":
                casting |= {"state": "melting", "percent": 30}
            case "melting" if not self.endless:
                casting |= {"state": "pouring", "percent": 80}
            case "pouring" if casting.pop("stopping", False):
                casting |= {"state": "scrapped"}
            case "pouring":
                self._finish(casting)
        return {"casting": shown(casting)}

    def _finish(self, casting: dict) -> None:
        order = self._orders[casting["id"]]
        faults = {
            WITHHELD: ("piece_withheld", "The picture is withheld."),
            BREAKS: ("furnace_broke", "It melted away."),
        }
        for word, (reason, detail) in faults.items():
            if word in order["brief"] or (self.failing and word == BREAKS):
                casting |= {"state": "cracked", "fault": {"reason": reason, "detail": detail}}
                return
        width, height = SIZES[order.get("aspect", "1:1")]
        piece = {"url": f"{self.origin}/pieces/{casting['id']}", "width": width, "height": height}
        casting |= {
            "state": "cast",
            "percent": 100,
            "piece": {**piece, "media_type": f"image/{order.get('file_type', 'png')}"},
        }
        self.credit -= {"etcher-1": 0.012, "caster-2": 0.045}[order["model"]]

    def _scrap(self, request: Exchange) -> Reply:
        casting = self.castings[request.params["id"]]
        if casting["state"] not in ON_THE_WAY:
            return refused("over_already", f"The casting is {casting['state']}.")
        if casting["state"] == "pouring":
            casting["stopping"] = True
        else:
            casting["state"] = "scrapped"
        return Reply(200, {"casting": shown(casting)})

    def _piece(self, request: Exchange) -> Reply:
        casting = self.castings[request.params["id"]]
        if casting["state"] != "cast":
            return refused("nothing_there", "There is no piece of it.")
        order, piece = self._orders[casting["id"]], casting["piece"]
        return Reply(200, picture(order, piece["width"], piece["height"]), {"content-type": piece["media_type"]})

    def _upload(self, request: Exchange) -> Reply:
        sent = [part for part in request.parts if part.name == "picture" and part.filename]
        if len(sent) != 1 or len(request.parts) != 1:
            return refused("field_wrong", "A form with one file, picture, is wanted.")
        if len(sent[0].data) > LARGEST:
            return refused("file_too_large", f"At most {LARGEST} bytes are taken.")
        try:
            kind = Image.open(io.BytesIO(sent[0].data)).format
        except UnidentifiedImageError:
            kind = None
        if kind not in ("PNG", "JPEG", "WEBP"):
            return refused("file_not_taken", "PNG, JPEG and WebP are taken.")
        name = f"asset_{hashlib.sha256(sent[0].data).hexdigest()[:12]}"
        self.assets[name] = sent[0].data
        return Reply(201, {"id": name, "kept_until": moment(time.time() + DAY)})


def shown(casting: dict) -> dict:
    """A casting without what is ours."""
    return {name: value for name, value in casting.items() if name != "stopping"}


def refused(reason: str, detail: str) -> Reply:
    """An answer with the vendor's envelope."""
    headers = {FoundryServer.wait_header: str(RETRY_MS)} if reason == "too_many" else {}
    return Reply(STATUS_OF[reason], {"fault": {"reason": reason, "detail": detail}}, headers)


def moment(seconds: float) -> str:
    """As the document writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def picture(order: dict, width: int, height: int) -> bytes:
    """One colour, which follows from the order."""
    shade = hashlib.sha256(f"{order['brief']} {order.get('mold', 0)}".encode()).digest()[:3]
    file = io.BytesIO()
    Image.new("RGB", (width, height), tuple(shade)).save(file, order.get("file_type", "png").upper())
    return file.getvalue()


if __name__ == "__main__":
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with FoundryServer() as server:
        sys.stdout.write(f"FOUNDRY_BASE_URL={server.origin}\nFOUNDRY_API_KEY={server.key}\n")
        sys.stdout.flush()
        ended.wait()
