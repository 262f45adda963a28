"""Voices by id or by name: names are looked up at the vendor when a call is sent, once for each account."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from difflib import get_close_matches

from callsheet.plugin import InvalidRequestError, JobContext, MalformedOutputError, ProviderError, Sent
from callsheet_elevenlabs.api import checked, headers

__all__ = ["DEFAULT_VOICE", "Voices"]

DEFAULT_VOICE = "JBFqnCBsd6RMkjVDRZzb"
"""George, the voice of the vendor's own quick start."""
_ID = re.compile(r"[A-Za-z0-9]{20}")
_PAGE = 100
_MOST_PAGES = 100


class Voices:
    """The names of one or more accounts' voices, kept as long as the handler lives."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, tuple[str, ...]]] = {}

    async def id_of(self, voice: str, context: JobContext) -> str:
        """The id of a voice. Raises InvalidRequestError for an unknown or ambiguous name: nothing was sent then."""
        if _ID.fullmatch(voice):
            return voice
        try:
            return await self._found(voice, context)
        except ProviderError as error:
            error.sent = Sent.NOT_SENT  # what costs money never left, whatever became of the question
            raise

    async def _found(self, voice: str, context: JobContext) -> str:
        key = await headers(context)
        account = hashlib.sha256(f"{context.origin}\n{key.get('xi-api-key', '')}".encode()).hexdigest()
        wanted = voice.strip().casefold()
        names = self._known.get(account, {})
        if wanted not in names and not _matches(wanted, names):
            # not known, or made after the last look
            names = self._known[account] = await _names(context, key)
        ids = names.get(wanted) or _matches(wanted, names)
        if len(ids) == 1:
            return ids[0]
        ref = str(context.job.ref)
        if ids:
            text = f"{ref}: {len(ids)} voices are called {voice!r}: give the id of one ({', '.join(sorted(ids))})"
        else:
            near = get_close_matches(wanted, names, 3, cutoff=0.4) or sorted(names)[:3]
            hint = f"; the nearest are {', '.join(near)}" if near else "; the account has no voices"
            text = f"{ref} has no voice {voice!r}{hint}"
        raise InvalidRequestError(text, sent=Sent.NOT_SENT, ref=ref)


def _matches(wanted: str, names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The vendor's own voices are called `George - Warm, Captivating Storyteller`: the first part is the name."""
    return tuple(each for name, ids in names.items() if name.partition(" - ")[0] == wanted for each in ids)


async def _names(context: JobContext, key: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    query = {"page_size": str(_PAGE), "include_total_count": "false"}
    for _ in range(_MOST_PAGES):
        reply = checked(await context.http.send("GET", "/v2/voices", query=query, headers=key), context)
        answer = reply.json()
        try:
            for voice in answer["voices"]:
                name = str(voice["name"]).strip().casefold()
                found[name] = (*found.get(name, ()), str(voice["voice_id"]))
            token = answer["next_page_token"] if answer["has_more"] else None
        except (KeyError, TypeError):
            ref = str(context.job.ref)
            raise MalformedOutputError(f"{ref} gave a list of voices that cannot be read", ref=ref) from None
        if not token:
            break
        query["next_page_token"] = str(token)
    return {name: tuple(dict.fromkeys(ids)) for name, ids in found.items()}
