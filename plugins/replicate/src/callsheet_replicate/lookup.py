"""Looks up a prediction whose receipt was lost: the account's list, newest first, compared by model and input.

The vendor keeps no mark of ours, so an equal prediction is taken for the lost one, if there is only one that no other
call of the project has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from callsheet.plugin import FileRef, JobContext, ProviderError, ProviderRequest, Sent, data_url, put_files
from callsheet_replicate.api import LARGEST_DATA_URL, Address, ask, moment_seconds
from callsheet_replicate.errors import malformed

__all__ = ["lost_prediction"]

MARGIN = 10.0
"""Seconds by which the vendor's clock (as its header Date tells) and ours may differ after all."""
SETTLED = 60.0
"""Seconds after which a request that is not listed was surely not accepted: until then it may be on its way."""
ASTRAY = 3600.0
"""Seconds before the request in which an equal prediction is in doubt: our clock may have been set since it left."""
MOST_PAGES = 50
_WITHOUT_RESULT = frozenset({"failed", "canceled", "aborted"})


@dataclass(frozen=True, slots=True)
class _Uploaded:
    """In the place of a file that was uploaded: its address, empty when that is not remembered."""

    address: str


async def lost_prediction(request: ProviderRequest, since: float, context: JobContext) -> str | None:
    """The id of the one prediction made of this request since then; None when there surely is none.

    Raises MalformedOutputError when the list does not say: too early, several equal ones, one that is a little too old,
    unknown links in the place of files, inputs deleted already.
    """

    async def put(file: FileRef) -> object:
        if file.bytes <= LARGEST_DATA_URL:
            return await data_url(file, context.files)
        return _Uploaded(await context.files.uploaded(file) or "")

    found, doubtful, older = [], "", ""
    sent = await put_files(request.body["input"], put)
    async for job_id, each, early in _candidates(request, since, context):
        links: list[str] = []
        removed = bool(each.get("data_removed"))
        if not removed and not _same(sent, each.get("input"), links):
            continue
        if early:
            older = older or job_id
        elif removed:
            raise _unclear("has deleted the input of a prediction that may be this one", context)
        elif links:
            doubtful = job_id
        else:
            found.append(job_id)
    if len(found) > 1:
        raise _unclear(f"has {len(found)} predictions of this very input ({', '.join(found)})", context)
    if not found and doubtful:
        raise _unclear(f"has the prediction {doubtful}, and nobody can say whether its files are the same", context)
    if not found and older:
        what = f"made the prediction {older} before this call: look at it there, and whether the clock here is right"
        raise _unclear(what, context)
    if not found and context.clock() - since < SETTLED:
        raise _unclear(f"lists no such prediction yet; ask again {SETTLED:g} s after it was sent", context)
    return found[0] if found else None


async def _candidates(
    request: ProviderRequest, since: float, context: JobContext
) -> AsyncIterator[tuple[str, Mapping[str, Any], bool]]:
    """The predictions of this model that no other call has: the id of each, and whether it is too old by our clock."""
    address, version = Address(request.ref.model), request.body.get("version")
    async for each, early in _listed(since, context):
        if early > ASTRAY:
            return
        over = (
            early > 0 and each.get("status") in _WITHOUT_RESULT
        )  # an attempt before, as a rule: nothing is lost with it
        job_id = each.get("id")
        if not isinstance(job_id, str) or over or not _same_model(each, address, version):
            continue
        if not await context.taken(job_id):
            yield job_id, each, early > 0


async def _listed(since: float, context: JobContext) -> AsyncIterator[tuple[Mapping[str, Any], float]]:
    """The predictions of the account, newest first, each with the seconds by which it is too early, by the vendor's clock."""
    query: dict[str, str] = {}
    early = 0.0
    for _ in range(MOST_PAGES):
        page, reply = await ask(context, "/predictions", query=query or None)
        results = page.get("results")
        if not isinstance(results, list):
            raise _unclear("gave a list of another form than documented", context)
        skew = (_date(reply.headers.get("date", "")) or context.clock()) - context.clock()
        for each in results:
            if isinstance(each, Mapping):
                created = moment_seconds(each.get("created_at"))
                early = 0.0 if created is None else since + skew - MARGIN - created
                yield each, early
        following = page.get("next")
        if not isinstance(following, str) or not following:
            return
        query = dict(parse_qsl(urlsplit(following).query))
        if not query:
            raise _unclear("gave a next page without a cursor", context)
    if early <= 0:
        raise _unclear(f"has more than {MOST_PAGES} pages of newer predictions", context)


def _same_model(prediction: Mapping[str, Any], address: Address, version: object) -> bool:
    if version:
        return prediction.get("version") == version
    return prediction.get("model") == address.name


def _same(sent: object, listed: object, links: list[str]) -> bool:
    """Equal, but that a link of which nobody knows what it leads to may stand for a file: it goes to `links`."""
    if isinstance(sent, _Uploaded) and sent.address and sent.address == listed:
        return True
    if isinstance(sent, _Uploaded) or (isinstance(sent, str) and sent.startswith("data:") and sent != listed):
        if not isinstance(listed, str) or listed.startswith("data:"):
            return False
        links.append(listed)
        return True
    if isinstance(sent, Mapping):
        if not isinstance(listed, Mapping) or sent.keys() != listed.keys():
            return False
        return all(_same(each, listed[key], links) for key, each in sent.items())
    if isinstance(sent, list):
        if not isinstance(listed, list) or len(sent) != len(listed):
            return False
        return all(_same(a, b, links) for a, b in zip(sent, listed, strict=True))
    return sent == listed and (type(sent) is type(listed) or (_is_number(sent) and _is_number(listed)))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _unclear(what: str, context: JobContext) -> ProviderError:
    return malformed(what, context, sent=Sent.UNKNOWN)


def _date(header: str) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp()
    except ValueError:
        return None
