"""The uploads that a ledger remembers."""

from __future__ import annotations

import pytest

from callsheet.context import Upload
from callsheet.stores.ledger import Ledger
from callsheet.stores.uploads import Place

HOUR = 3600.0
PLACE = Place("https://api.acme.example", "0123456789abcdef", "ab" * 32, "image/png")


@pytest.fixture
def opened(tmp_path, owner):
    """Open the ledger at a moment."""

    async def open_ledger(now=0.0):
        return await Ledger.open(tmp_path / "ledger.sqlite3", owner, clock=lambda: now)

    return open_ledger


@pytest.mark.parametrize(
    ("expires", "now", "known"),
    [
        (None, 1e9, True),
        (24 * HOUR, 23 * HOUR - 1, True),
        (24 * HOUR, 23 * HOUR, False),
        (HOUR, HOUR / 2 - 1, True),
        (HOUR, HOUR / 2, False),
        (0.0, 0.0, False),
        (-1.0, 0.0, False),
    ],
)
async def test_an_upload_is_used_until_shortly_before_its_end(opened, expires, now, known):
    """An hour before it, or half of a life that is shorter than two: the job may wait in a queue."""
    async with await opened() as ledger:
        await ledger.uploads.keep(PLACE, Upload("acme://1", expires))
    async with await opened(now) as ledger:
        assert await ledger.uploads.find(PLACE) == (Upload("acme://1", expires) if known else None)
        assert await ledger.uploads.address(PLACE) == "acme://1"


async def test_a_later_upload_takes_the_place_of_an_earlier_one(opened):
    """And every other place is another one."""
    async with await opened() as ledger:
        await ledger.uploads.keep(PLACE, Upload("acme://1", 10.0))
        await ledger.uploads.keep(PLACE, Upload("acme://2"))
        assert await ledger.uploads.find(PLACE) == Upload("acme://2")
        for name in PLACE._fields:
            assert await ledger.uploads.find(PLACE._replace(**{name: "other"})) is None


async def test_files_are_forgotten_for_one_provider(opened):
    """For all of its accounts and types, and nobody else."""
    twins = [PLACE, PLACE._replace(account=""), PLACE._replace(media_type="image/webp")]
    others = [PLACE._replace(origin="https://b.example"), PLACE._replace(sha256="cd" * 32)]
    async with await opened() as ledger:
        for place in [*twins, *others]:
            await ledger.uploads.keep(place, Upload("acme://1"))
        await ledger.uploads.forget(PLACE.origin, [PLACE.sha256, "ef" * 32])
        assert [await ledger.uploads.find(place) for place in twins] == [None] * 3
        assert [await ledger.uploads.address(place) for place in twins] == [None] * 3
        assert [await ledger.uploads.find(place) for place in others] == [Upload("acme://1")] * 2
