"""A budget: what a run, and a day of the project, may spend. A call is sent when the most that it may cost has been set aside."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from callsheet.errors import BudgetExceededError
from callsheet.money import Cost
from callsheet.policies import MoneyPolicy
from callsheet.preparation import PreparedCall
from callsheet.services import Services
from callsheet.stores.spending import Bounds, Reservation, Room, billionths

__all__ = ["Budget", "failed_cost"]

LOOK_SECONDS = 0.5
"""How often a call looks whether others have given back what they had set aside."""


class Budget:
    """The bounds of one run (its id; empty for a single call, or many at once outside of a run).

    Once a call did not fit, nothing more is granted: what is under way ends, and nothing new is paid for.
    """

    def __init__(self, services: Services, policy: MoneyPolicy, run: str = "") -> None:
        self._services = services
        self._policy = policy
        self._run = run
        self._granted: dict[str, Decimal] = {}
        self._refused = ""

    @classmethod
    def of(cls, services: Services, policy: MoneyPolicy, run: str = "") -> Budget | None:
        """The budget that the policy sets; None when it sets none."""
        bounded = policy.max_run is not None or policy.max_day is not None
        return cls(services, policy, run) if bounded else None

    async def reserve(self, call: PreparedCall, key: str, *, patient: bool) -> None:
        """Set the most that the call may cost aside, until an attempt of it is on record.

        `patient` waits while others may give back enough. Raises BudgetExceededError: nothing was sent then.
        """
        asked = self.check(call, key)
        if asked is None:
            return
        self._granted[key] = asked  # at once: calls outside of a run come together
        run = None if self._policy.max_run is None or not self._run else billionths(self._policy.max_run)
        day = None if self._policy.max_day is None else billionths(self._policy.max_day)
        wanted = Reservation(key, self._run, billionths(asked))
        while (room := await self._ask(wanted, run, day)).bound is not None:
            if not (patient and room.moving):
                raise self._refuse(call, asked, room)
            await self._services.sleep(LOOK_SECONDS)
            self._closed(call)

    def check(self, call: PreparedCall, key: str = "") -> Decimal | None:
        """The most that a call may cost; None where nobody knows, and it may be made all the same.

        Raises BudgetExceededError when the call by itself is above a bound.
        """
        self._closed(call)
        cost = call.cost
        if cost.high is None:
            if self._policy.unknown == "refuse":
                why = f"what it costs is unknown ({cost.reason}), and a budget is set"
                raise self._told(call, f'{why}; [money] unknown = "allow" lets such calls go')
            return None
        # the ledger knows what a run has spent; of calls outside of one, nobody but this object
        held = Decimal(0) if self._run else sum((u for k, u in self._granted.items() if k != key), Decimal(0))
        if self._policy.max_run is not None and held + cost.high > self._policy.max_run:
            raise self._refuse(call, cost.high, Room("run", reserved=billionths(held)))
        if self._policy.max_day is not None and cost.high > self._policy.max_day:
            raise self._refuse(call, cost.high, Room("day"))
        return cost.high

    async def _ask(self, wanted: Reservation, run: int | None, day: int | None) -> Room:
        today = datetime.fromtimestamp(self._services.clock()).astimezone()
        since = today.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        return await self._services.ledger.spending.reserve(wanted, Bounds(run, day, since))

    def _closed(self, call: PreparedCall) -> None:
        if self._refused:
            raise BudgetExceededError(
                f"{call.job.id} was not started: the budget did not allow {self._refused}", later=True
            )

    def _refuse(self, call: PreparedCall, asked: Decimal, room: Room) -> BudgetExceededError:
        most = self._policy.max_run if room.bound == "run" else self._policy.max_day
        of = "this project today" if room.bound == "day" else "this run" if self._run else "a call outside of a run"
        assert most is not None
        spent, reserved = (Cost.exactly(Decimal(nanos).scaleb(-9)) for nanos in (room.spent, room.reserved))
        self._refused = call.job.id
        up_to = "" if call.cost.known else "up to "
        what = f"it costs {up_to}{Cost.exactly(asked)}, and of the {Cost.exactly(most)} for {of}"
        return self._told(call, f"{what} {spent} is spent and {reserved} reserved for calls under way")

    @staticmethod
    def _told(call: PreparedCall, why: str) -> BudgetExceededError:
        return BudgetExceededError(f"{call.job.id} ({call.job.ref}) was not started: {why}")


def failed_cost(sent: str, *, simulated: bool = False) -> Cost:
    """What an attempt without a result cost, by what is known of it (a `Sent`)."""
    if simulated or sent in ("not_sent", "rejected"):
        return Cost.exactly(0)
    if sent == "finished":
        return Cost.unknown("the provider does not say what a failed job costs")
    return Cost.unknown("nobody knows whether it was accepted")
