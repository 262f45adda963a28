"""Breakers: what keeps failing is left alone for a while, and then tried by one call alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from callsheet.errors import ErrorKind, ProviderError, Sent, excerpt
from callsheet.policies import BreakerPolicy
from callsheet.rate_gate import Porter
from callsheet.stores.breakers import Blow, BreakerRows, Domain, Failing
from callsheet.stores.owners import Owner

__all__ = ["Breakers", "CircuitOpenError", "Target", "Trial"]

_ACCOUNT = frozenset({ErrorKind.AUTHENTICATION, ErrorKind.QUOTA_EXCEEDED})
# A 403 may be of one model alone (a licence, a tier): it must not close the others.
_MODEL_AT_ONCE = frozenset({ErrorKind.MODEL_NOT_FOUND, ErrorKind.ACCESS_DENIED})
_MODEL = frozenset({ErrorKind.OVERLOADED, ErrorKind.TIMEOUT})
# Answers which say that the model is there and works: what was wrong lies in the request or in the one job.
_ABOUT_THE_JOB = frozenset({ErrorKind.CONTENT_REJECTED, ErrorKind.JOB_FAILED, ErrorKind.MALFORMED_OUTPUT})


class CircuitOpenError(ProviderError):
    """Nothing was sent, because what the call needs has failed too often just now; `kind` says how it failed last.

    `retry_after` is in seconds: when the next call may try. `provider` is what `callsheet health --reset` takes.
    """

    default_sent = Sent.NOT_SENT
    provider: str = ""

    @classmethod
    def of(cls, why: Failing, now: float, ref: str) -> CircuitOpenError:
        """The error of a call to `ref` because of `why`."""
        wait = max(why.until - now, 0.0)
        what = {"account": "the account", "host": "the host", "model": "the model"}[why.domain.scope]
        often = "once" if why.failures == 1 else f"{why.failures} times in a row"
        then = f"nothing is sent there until {_hour(why.until)}" if wait else "another call is trying it right now"
        error = cls(
            f"{ref} was not called: {what} {why.domain.name} failed {often}, the last time at {_hour(why.failed)} "
            f"({why.kind}: {why.message}); {then}. To try at once: `callsheet health --reset {why.provider}`",
            retry_after=wait,
            ref=ref,
        )
        error.kind, error.provider = ErrorKind(why.kind), why.provider
        return error


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes: its reference, the host (`api.example.com`), and whose `account` it is (a fingerprint)."""

    provider: str
    environment: str
    ref: str
    host: str
    account: Callable[[], Awaitable[str]]

    @property
    def domains(self) -> tuple[Domain, Domain]:
        """What it shares with every account."""
        return Domain("host", self.host), Domain("model", self.ref)

    async def purse(self) -> Domain:
        """Its account. A new key is another one, and so begins anew."""
        return Domain("account", f"{self.provider}@{self.environment} {await self.account()}".rstrip())


@dataclass(slots=True)
class Trial:
    """A call that was let through; `probe` names it when it tries `tried`, domains that are open for all others."""

    target: Target
    policy: BreakerPolicy
    probe: str = ""
    tried: Sequence[Domain] = field(default=())


class Breakers:
    """The breakers of this process, which are those of all processes of the project: seconds late at most.

    While nothing fails, nothing is asked and nothing is written.
    """

    def __init__(self, rows: BreakerRows, owner: Owner, porter: Porter, redact: Callable[[str], str]) -> None:
        self._rows = rows
        self._owner = owner
        self._porter = porter
        self._redact = redact
        self._failing: dict[Domain, Failing] = {}
        self._probes: set[str] = set()
        self._numbers = count(1)

    def learn(self, failing: Sequence[Failing]) -> None:
        """What the ledger says."""
        self._failing = {each.domain: each for each in failing}

    @property
    def all_well(self) -> bool:
        """True while nothing fails: then `enter` lets every call through, as a Trial without a probe."""
        return not self._failing

    async def enter(self, target: Target, policy: BreakerPolicy) -> Trial:
        """Let a call through. Raises CircuitOpenError."""
        trial = Trial(target, policy)
        if self.all_well:
            return trial
        domains = await self._domains(target)
        if not any(self._failing[domain].is_open for domain in domains if domain in self._failing):
            return trial
        now = self._porter.now()
        for domain in domains:
            known = self._failing.get(domain)
            if known is not None and known.until > now:
                raise CircuitOpenError.of(known, now, target.ref)
        return await self._try_out(trial, domains, now)

    async def _try_out(self, trial: Trial, domains: Sequence[Domain], now: float) -> Trial:
        probe = f"{self._owner.id}/{next(self._numbers)}"
        self._probes.add(probe)
        try:
            tried, why = await self._rows.try_out(domains, probe, now, self._is_alive)
            if why is not None:
                self._failing[why.domain] = why
                raise CircuitOpenError.of(why, now, trial.target.ref)
        except asyncio.CancelledError:
            self._give_up(probe)  # the write is carried out all the same
            raise
        except BaseException:
            self._probes.discard(probe)
            raise
        for domain in domains:
            if domain not in tried:
                self._failing.pop(domain, None)  # another process has closed it
        if not tried:
            self._probes.discard(probe)
            return trial
        trial.probe, trial.tried = probe, tried
        return trial

    async def ended(self, trial: Trial, error: BaseException | None) -> None:
        """How the call went, as far as the provider's answer to the request goes: a submitted job went well."""
        if error is None:
            domains: Sequence[Domain] = await self._domains(trial.target) if self._failing else ()
            self._went_well(trial, domains)
        elif isinstance(error, ProviderError):
            blow = await self._blow(trial, error)
            self._went_well(trial, [d for d in self._spared(trial, error) if blow is None or d != blow.domain])
            if blow is not None:
                self._failing[blow.domain] = await self._rows.failed(blow, trial.policy)
        if trial.probe:
            self._give_up(trial.probe)

    def works(self, target: Target) -> None:
        """Host and model are there after all: a request whose answer was lost had been accepted."""
        known = [domain for domain in target.domains if self._failing.pop(domain, None) is not None]
        if known:
            self._porter.heed(self._rows.works(known))

    async def _domains(self, target: Target) -> Sequence[Domain]:
        """Those of the call that could be open: whose key it is, is only asked when some account has failed."""
        ours = any(f.domain.scope == "account" and f.provider == target.provider for f in self._failing.values())
        return (*target.domains, await target.purse()) if ours else target.domains

    async def _blow(self, trial: Trial, error: ProviderError) -> Blow | None:
        """What the failure tells against; None for one that says nothing about anybody but the request."""
        host, model = trial.target.domains
        kind, unsent = error.kind, error.sent is Sent.NOT_SENT
        at_once = kind in _ACCOUNT or kind in _MODEL_AT_ONCE
        if kind in _ACCOUNT:
            domain = await trial.target.purse()
        elif kind is ErrorKind.CONNECTION_FAILED or (kind is ErrorKind.TIMEOUT and unsent):
            domain = host
        elif kind in _MODEL_AT_ONCE or kind in _MODEL:
            domain = model
        else:
            return None
        probe = trial.probe if domain in trial.tried else ""
        text = excerpt(self._redact(str(error)))
        return Blow(domain, trial.target.provider, kind.value, text, self._porter.now(), at_once, probe)

    def _spared(self, trial: Trial, error: ProviderError) -> list[Domain]:
        """What works, as a failed call shows: who answers is there, and who judges a prompt has looked at the key."""
        if error.sent not in (Sent.REJECTED, Sent.FINISHED) and error.status_code is None:
            return []
        host, model = trial.target.domains
        works = [host]
        if error.kind in _ABOUT_THE_JOB:
            accounts = [d for d in trial.tried if d.scope == "account"]
            works += [model, *accounts]
        return works

    def _went_well(self, trial: Trial, domains: Sequence[Domain]) -> None:
        mended = []
        for domain in domains:
            known = self._failing.get(domain)
            if known is not None and (not known.is_open or domain in trial.tried):
                del self._failing[domain]
                mended.append(domain)
        if mended:
            self._porter.heed(self._rows.went_well(mended, trial.probe))

    def _give_up(self, probe: str) -> None:
        self._probes.discard(probe)
        self._porter.heed(self._rows.give_up(probe))

    def _is_alive(self, probe: str) -> bool:
        owner = probe.partition("/")[0]
        return probe in self._probes if owner == self._owner.id else self._owner.is_alive(owner)


def _hour(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
