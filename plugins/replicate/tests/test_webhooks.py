"""Webhooks of the vendor: who signed them, and what they bring about."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import string
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicate_counterpart.stage import job, picture

from callsheet.errors import AccessDeniedError, ConfigError, MalformedOutputError, ProviderError
from callsheet.secrets import MappingSecrets, Redactor, SecretScope
from callsheet.settings import ProviderSettings, Settings
from callsheet_replicate.testing import Delivery, Fault, Script
from callsheet_replicate.webhooks import ASK_AGAIN, SECRET, TOLERANCE, WebhookReader

IMAGEN = "replicate:google/imagen-4"
HOOK = "https://hooks.example.com/replicate"
KEY = base64.b64encode(b"a signing key of 32 bytes, say..").decode()
NOW = 1_800_000_000
BODY = b'{"id": "p1", "status": "succeeded"}'
BASE64 = string.ascii_letters + string.digits + "+/="


def signature(body=BODY, moment=str(NOW), delivery="msg_1", key=KEY):
    """What the vendor signs with this key."""
    digest = hmac.new(base64.b64decode(key), f"{delivery}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def headers(signatures, moment=str(NOW), delivery="msg_1"):
    """The vendor's three headers."""
    return {"webhook-id": delivery, "webhook-timestamp": moment, "webhook-signature": signatures}


def context(secret=f"whsec_{KEY}", clock=NOW, http=None):
    """The services of a question; `secret` is the declared one."""
    values = {"REPLICATE_API_TOKEN": "r8_token", **({SECRET: secret} if secret else {})}
    scope = SecretScope(MappingSecrets(values), Redactor(), ("REPLICATE_API_TOKEN", SECRET), "callsheet-replicate")
    return SimpleNamespace(provider="replicate", secrets=scope, http=http, clock=lambda: clock)


async def read(given_headers, body=BODY, **more):
    """What a reader says of a delivery."""
    return await WebhookReader().read(given_headers, body, context(**more))


@pytest.mark.parametrize("secret", [f"whsec_{KEY}", KEY])
async def test_a_signed_delivery_names_its_prediction(secret):
    """With the secret as the vendor writes it, or its base64 alone."""
    notice = await read(headers(signature()), secret=secret)
    assert (notice.job_id, notice.delivery) == ("p1", "msg_1")


@pytest.mark.parametrize("others", ["v1,AAAA {}", "{} v1,AAAA", "v2,AAAA v1a,BBBB {}", "nonsense {} "])
async def test_one_of_several_signatures_is_enough(others):
    """As while a secret is exchanged; versions that nobody knows count for nothing."""
    assert (await read(headers(others.format(signature())))).job_id == "p1"


@pytest.mark.parametrize("version", ["v2", "V1", "", "v1a"])
async def test_another_versions_signature_counts_for_nothing(version):
    """Even when the bytes are right."""
    with pytest.raises(AccessDeniedError, match="not signed"):
        await read(headers(signature().replace("v1,", f"{version},")))


@given(st.data())
def test_any_changed_byte_is_refused(data):
    """In the body, the delivery's id, the time or the signature: changed, removed or put in."""

    def altered(value):
        place = data.draw(st.integers(0, len(value) - 1))
        put = data.draw(st.binary(max_size=3).filter(lambda new: new != value[place : place + 1]))
        changed = value[:place] + put + value[place + 1 :]
        return changed if changed != value else value + b"x"

    part = data.draw(st.sampled_from(["body", "webhook-id", "webhook-timestamp", "webhook-signature"]))
    sent, body = headers(signature()), BODY
    if part == "body":
        body = altered(body)
    else:
        sent[part] = altered(sent[part].encode()).decode("latin-1")
    with pytest.raises(AccessDeniedError):
        asyncio.run(read(sent, body))


@given(st.text(BASE64, min_size=1, max_size=60))
def test_no_made_up_signature_is_taken(text):
    """Whatever its length."""
    with pytest.raises(AccessDeniedError):
        asyncio.run(read(headers(f"v1,{text}")))


@pytest.mark.parametrize("key", [base64.b64encode(b"x").decode(), base64.b64encode(b"y" * 32).decode()])
async def test_another_key_signs_nothing(key):
    """And the message holds neither the key nor the signature."""
    with pytest.raises(AccessDeniedError) as caught:
        await read(headers(signature(key=key)))
    assert KEY not in str(caught.value)
    assert signature() not in str(caught.value)


@pytest.mark.parametrize(("age", "taken"), [(TOLERANCE, True), (-TOLERANCE, True), (301, False), (-301, False)])
async def test_a_delivery_is_good_for_five_minutes(age, taken):
    """Before and after: clocks differ."""
    call = read(headers(signature()), clock=NOW + age)
    if taken:
        assert (await call).job_id == "p1"
        return
    with pytest.raises(AccessDeniedError, match="another time"):
        await call


@pytest.mark.parametrize("moment", ["", "now", "1e9", "-5", "٣٠٠", "9" * 30, f" {NOW}", f"{NOW}.0"])
async def test_a_moment_is_a_plain_number(moment):
    """Anything else is refused, and never read as a number."""
    with pytest.raises(AccessDeniedError):
        await read(headers(signature(moment=moment), moment=moment))


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_a_missing_header_is_named(name):
    """Somebody else has posted here."""
    sent = headers(signature())
    del sent[name]
    with pytest.raises(AccessDeniedError, match=name):
        await read(sent)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 5}', b'{"id": ""}', b"\xff", b"[" * 100_000])
async def test_a_signed_body_of_another_form_is_malformed(body):
    """It is the vendor's own, and says nothing."""
    with pytest.raises(MalformedOutputError, match="names no prediction"):
        await read(headers(signature(body)), body)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64", "ünï-cödes"])
async def test_a_declared_secret_of_another_form_says_so(secret):
    """By its name; the value is not shown."""
    with pytest.raises(ConfigError, match=SECRET) as caught:
        await read(headers(signature()), secret=secret)
    assert secret == "whsec_" or secret not in str(caught.value)


class Moving:
    """A clock that the test moves."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        """Seconds since the epoch."""
        return self.now


@pytest.fixture
async def asking(server, opened):
    """A reader, a question's services that reach the server without a declared secret, and a clock."""
    async with opened() as client:
        clock, runtime = Moving(), client.runtime
        plugin, access, _ = runtime.registry.provider_handlers("replicate")
        real = runtime.services.provider_context("replicate", plugin, access)
        services = SimpleNamespace(provider="replicate", secrets=real.secrets, http=real.http, clock=clock)
        server.predictions["p1"] = {"id": "p1"}
        yield WebhookReader(), services, clock


async def test_the_secret_is_fetched_once(server, asking):
    """It is free, and kept; deliveries that come together ask once."""
    reader, services, _ = asking
    sent = server.webhook("p1")
    notices = await asyncio.gather(*(reader.read(*sent, services) for _ in range(5)))
    await reader.read(*sent, services)
    assert {notice.job_id for notice in notices} == {"p1"}
    assert len(server.asked("secret")) == 1


async def test_an_exchanged_secret_is_fetched_again_at_most_once_a_minute(server, asking):
    """So a forger cannot make us ask each time."""
    reader, services, clock = asking
    old = server.webhook("p1")
    await reader.read(*old, services)
    server.webhook_secret = f"whsec_{KEY}"
    new = server.webhook("p1")
    for _ in range(3):
        with pytest.raises(AccessDeniedError):
            await reader.read(*new, services)
    assert len(server.asked("secret")) == 1
    clock.now += ASK_AGAIN
    assert (await reader.read(*new, services)).job_id == "p1"
    for _ in range(3):
        with pytest.raises(AccessDeniedError):
            await reader.read(*old, services)
    assert len(server.asked("secret")) == 2


async def test_what_is_old_does_not_make_us_ask(server, asking):
    """It is refused before anything else."""
    reader, services, _ = asking
    with pytest.raises(AccessDeniedError):
        await reader.read(*server.webhook("p1", age=400), services)
    assert server.asked("secret") == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault(status=500), ProviderError), (Fault(status=200, body={"key": None}), MalformedOutputError)],
)
async def test_a_secret_that_cannot_be_had_is_an_error(server, asking, fault, error):
    """The host answers with an error, and the vendor sends the delivery again."""
    reader, services, _ = asking
    server.fail("secret", fault)
    with pytest.raises(error):
        await reader.read(*server.webhook("p1"), services)
    assert (await reader.read(*server.webhook("p1"), services)).job_id == "p1"


def hooked(server):
    """Settings of a project whose host takes webhooks."""
    return Settings(providers={"replicate": ProviderSettings(base_url=server.origin, webhook=HOOK)})


async def test_a_prediction_orders_its_webhook(server, opened):
    """One, at the end. It is no part of the request's digest, so the key is that of a project without."""
    server.script("google/imagen-4", Script(Delivery(picture(), "image/png")))
    async with opened() as client:
        await client.call(IMAGEN, prompt="lava")
        [plain] = await client.ledger.calls_of_job(next(iter(server.predictions)))
    async with opened(settings=hooked(server)) as client:
        await client.call(IMAGEN, prompt="lava", reuse=True)
        await client.call(IMAGEN, prompt="ash")
    first, second = (create.json for create in server.asked("create"))
    assert set(first) == {"input"}
    assert (second["webhook"], second["webhook_events_filter"]) == (HOOK, ["completed"])
    assert plain.request["body"]["input"] == first["input"]


async def test_a_lost_create_with_a_webhook_is_found(server, opened):
    """Only model and input are compared."""
    server.script("google/imagen-4", Script(Delivery(picture(), "image/png")))
    server.fail("create", Fault(reset="after"))
    async with opened(settings=hooked(server)) as client:
        result = await client.call(IMAGEN, prompt="lava")
    assert len(result.artifacts) == 1
    assert len(server.asked("create")) == 1


async def test_a_webhook_ends_the_wait(server, opened):
    """Between two polls nobody sleeps on: the prediction is asked for at once, and collected by who waits for it."""
    server.script("google/imagen-4", Script(Delivery(picture(), "image/png"), polls=1))
    asleep = asyncio.Event()

    async def sleep(_seconds):
        asleep.set()
        await asyncio.Event().wait()

    async with opened(settings=hooked(server), sleep=sleep) as client:
        call = asyncio.create_task(client.call(IMAGEN, prompt="lava"))
        await asleep.wait()
        (created,) = server.predictions
        woken = await client.webhook("replicate", *server.webhook(created))
        result = await call
        again = await client.webhook("replicate", *server.webhook(created))
        other = await client.webhook("replicate", *forged_free(server, "p-of-another-host"))
    assert (woken.status, again.status, other.status) == ("woken", "known", "unknown")
    assert result.artifacts[0].location is not None
    assert again.result.artifacts[0].file == result.artifacts[0].file
    assert len(server.asked("create")) == 1


def forged_free(server, prediction):
    """A delivery of the vendor's own about a prediction of somebody else."""
    server.predictions[prediction] = {"id": prediction, "status": "succeeded"}
    return server.webhook(prediction)


async def test_a_dead_process_job_is_collected_by_its_webhook(server, opened):
    """Whatever the body claims, the prediction is asked for."""
    server.script("google/imagen-4", Script(Delivery(picture(), "image/png"), polls=2))
    polled = asyncio.Event()

    async def stuck(_seconds):
        polled.set()
        await asyncio.Event().wait()

    async with opened(settings=hooked(server), sleep=stuck) as dead:
        task = asyncio.create_task(dead.call(IMAGEN, prompt="lava"))
        await polled.wait()
        dead.ledger.owner.close()
        (created,) = server.predictions
        sent, body = server.webhook(created)
        assert json.loads(body)["status"] in ("starting", "processing")
        async with opened(settings=hooked(server)) as host:
            outcome = await host.webhook("replicate", sent, body)
            with pytest.raises(AccessDeniedError):
                await host.webhook("replicate", sent, body + b" ")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (outcome.status, len(outcome.result.artifacts)) == ("collected", 1)
    assert len(server.asked("create")) == 1
    assert server.running == []


def test_a_host_without_webhooks_orders_none():
    """`prepare` knows nothing of it."""
    from callsheet_replicate.predictions import PredictionHandler

    request = PredictionHandler().prepare(job("google/imagen-4"))
    assert "webhook" not in request.body
