"""The rows of breakers: what failed, how often in a row, until when nothing is sent there, and who tries it first."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from callsheet.policies import BreakerPolicy
from callsheet.stores.writer import Turn, Writer

__all__ = ["Blow", "BreakerRows", "Domain", "Failing", "Scope"]

Scope = Literal["account", "host", "model"]
AT_ONCE = 10.0
"""A refused key or an unknown model does not mend itself: as many cooldowns of the ordinary kind."""
_SELECT = "SELECT scope, name, provider, failures, kind, message, failed, until, cooldown, probe FROM breakers"
_ONE = " WHERE scope = ? AND name = ?"
_PUT = (
    "INSERT OR REPLACE INTO breakers (scope, name, provider, failures, kind, message, failed, until, cooldown, probe) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_TRY = "UPDATE breakers SET probe = ?" + _ONE  # noqa: S608 - a constant
_WORKS = "DELETE FROM breakers" + _ONE  # noqa: S608 - a constant
_MEND = _WORKS + " AND (until = 0 OR (probe <> '' AND probe = ?))"


class Domain(NamedTuple):
    """What fails together: an account (`provider@environment fingerprint`), a host, or a model (its reference)."""

    scope: Scope
    name: str


@dataclass(frozen=True, slots=True)
class Failing:
    """A domain that failed: how often in a row, how the last one went, and when (seconds since the epoch).

    `until` is when the first call may try it again, 0 while it is not open; `probe` names who does.
    """

    domain: Domain
    provider: str
    failures: int = 0
    kind: str = ""
    message: str = ""
    failed: float = 0.0
    until: float = 0.0
    cooldown: float = 0.0
    probe: str = ""

    @property
    def is_open(self) -> bool:
        """True when nothing but a probe is sent there."""
        return self.until > 0

    def after(self, blow: Blow, policy: BreakerPolicy) -> Failing:
        """How it stands after one more failure."""
        if self.is_open:
            if not blow.probe or blow.probe != self.probe:
                return self  # it was sent before the breaker opened, and says nothing new
            cooldown = max(self.cooldown, min(self.cooldown * 2, policy.longest_cooldown))
        else:
            cooldown = policy.cooldown
            if blow.at_once:
                cooldown = max(cooldown, min(cooldown * AT_ONCE, policy.longest_cooldown))
        in_a_row = 1 if blow.failed - self.failed > policy.longest_cooldown else self.failures + 1
        opens = self.is_open or blow.at_once or in_a_row >= policy.failures
        return replace(
            self,
            failures=in_a_row,
            kind=blow.kind,
            message=blow.message,
            failed=blow.failed,
            until=blow.failed + cooldown if opens else 0.0,
            cooldown=cooldown if opens else 0.0,
            probe="",
        )


@dataclass(frozen=True, slots=True)
class Blow:
    """One failure: of what, how, and when; `probe` is set for the call that tried an open domain."""

    domain: Domain
    provider: str
    kind: str
    message: str
    failed: float
    at_once: bool
    probe: str = ""


class BreakerRows:
    """The breakers that a ledger keeps: only of what failed since it last went well."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def failed(self, blow: Blow, policy: BreakerPolicy) -> Future[Failing]:
        """Count a failure. Gives how the domain stands now, for all processes."""

        def write(turn: Turn) -> Failing:
            before = _row(turn, blow.domain) or Failing(blow.domain, blow.provider)
            now = before.after(blow, policy)
            if now is not before:
                values = (*now.domain, now.provider, now.failures, now.kind, now.message, now.failed)
                turn.db.execute(_PUT, (*values, now.until, now.cooldown, now.probe))
            return now

        return self._writer.submit(write)

    def try_out(
        self, domains: Sequence[Domain], probe: str, now: float, alive: Callable[[str], bool]
    ) -> Future[tuple[list[Domain], Failing | None]]:
        """Become the one that tries those of the domains which are open and due: `([domains], None)`.

        `([], why)` when one of them is not due, or is being tried by somebody who lives.
        """

        def write(turn: Turn) -> tuple[list[Domain], Failing | None]:
            found = [row for row in (_row(turn, domain) for domain in domains) if row is not None and row.is_open]
            for row in found:
                if row.until > now or (row.probe and alive(row.probe)):
                    return [], row
            for row in found:
                turn.db.execute(_TRY, (probe, *row.domain))
            return [row.domain for row in found], None

        return self._writer.submit(write)

    def give_up(self, probe: str) -> Future[None]:
        """The probe ended without saying anything: the next call may try."""

        def write(turn: Turn) -> None:
            turn.db.execute("UPDATE breakers SET probe = '' WHERE probe = ?", (probe,))

        return self._writer.submit(write)

    def went_well(self, domains: Iterable[Domain], probe: str) -> Future[None]:
        """A call went well: nothing failed in a row, and what it tried as a probe is not open any more."""
        values = [(*domain, probe) for domain in domains]

        def write(turn: Turn) -> None:
            turn.db.executemany(_MEND, values)

        return self._writer.submit(write)

    def works(self, domains: Iterable[Domain]) -> Future[None]:
        """They are known to work, open or not."""
        values = list(domains)

        def write(turn: Turn) -> None:
            turn.db.executemany(_WORKS, values)

        return self._writer.submit(write)

    def read(self) -> Future[list[Failing]]:
        """All of them."""
        query = _SELECT + " ORDER BY provider, scope, name"
        return self._writer.submit(lambda turn: [_failing(row) for row in turn.db.execute(query)], writes=False)

    def reset(self, provider: str) -> Future[list[Domain]]:
        """Forget a provider's failures. Gives what was open."""

        def write(turn: Turn) -> list[Domain]:
            opened = "SELECT scope, name FROM breakers WHERE provider = ? AND until > 0 ORDER BY scope, name"
            rows = turn.db.execute(opened, (provider,)).fetchall()
            turn.db.execute("DELETE FROM breakers WHERE provider = ?", (provider,))
            return [Domain(*row) for row in rows]

        return self._writer.submit(write)


def _row(turn: Turn, domain: Domain) -> Failing | None:
    row = turn.db.execute(_SELECT + _ONE, domain).fetchone()
    return None if row is None else _failing(row)


def _failing(row: tuple[Scope, str, str, int, str, str, float, float, float, str]) -> Failing:
    return Failing(Domain(row[0], row[1]), *row[2:])
