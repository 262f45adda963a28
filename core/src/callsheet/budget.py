"""A budget: what a run, and a day of the project, may spend. A call is sent when the most that it may cost has been set aside."""

from __future__ import annotations

from decimal import Decimal

from callsheet.errors import BudgetExceededError, Sent
from callsheet.money import Cost
from callsheet.policies import MoneyPolicy
from callsheet.preparation import PreparedCall
from callsheet.services import Services
from callsheet.stores.spending import Bounds, Reservation, Room, billionths

__all__ = ["Budget", "failed_cost"]

LOOK_SECONDS = 0.5
"""How often a call looks whether others have given back what they had set aside."""


class Budget:
    """The bounds of one run (its id; empty outside of one, for a call with its fallbacks or for `many` at once).

    Once a call did not fit, nothing more is granted: what is under way ends, and nothing new is paid for.
    """

    def __init__(self, services: Services, policy: MoneyPolicy, run: str = "", *, many: bool = False) -> None:
        self._services = services
        self._policy = policy
        self._run = run
        self._many = many
        self._granted: dict[str, Decimal] = {}
        self._held = Decimal(0)
        self._refused = ""

    @classmethod
    def of(cls, services: Services, policy: MoneyPolicy, run: str = "", *, many: bool = False) -> Budget | None:
        """The budget that the policy sets; None when it sets none."""
        bounded = policy.max_run is not None or policy.max_day is not None
        return cls(services, policy, run, many=many) if bounded else None

    async def reserve(self, call: PreparedCall, key: str, *, patient: bool) -> None:
        """Set the most that the call may cost aside, until an attempt of it is on record.

        `patient` waits while others may give back enough. Raises BudgetExceededError: nothing was sent then.
        """
        asked = self.grant(call, key)
        if asked is None:
            return
        while (room := await self._services.ledger.spending.reserve(*self._wanted(key, asked))).bound is not None:
            if not (patient and room.moving):
                raise self._refuse(call, asked, room)
            await self._services.sleep(LOOK_SECONDS)
            self._closed(call)

    def ahead(self, call: PreparedCall, key: str) -> tuple[Reservation, Bounds] | None:
        """What `reserve` would ask the ledger for, when the call by itself is within the bounds; else None.

        It counts as granted: of a call that is not made after all, it is to be taken back with `give_up`. None also where
        others would be refused for what is granted so to a call that may be paid for already.
        """
        shared = self._many and self._policy.max_run is not None
        asked = None if self._refused or shared else call.cost.high
        if asked is None or self._bound_of(asked, key) is not None:
            return None
        self._grant(key, asked)
        return self._wanted(key, asked)

    def give_up(self, key: str) -> None:
        """The call with this key is not made, or asks anew."""
        self._held -= self._granted.pop(key, Decimal(0))

    def failed(self, key: str, sent: Sent) -> None:
        """An attempt came to nothing; what was granted for it counts on, unless it surely is not billed."""
        if sent in (Sent.NOT_SENT, Sent.REJECTED):
            self.give_up(key)
        self._granted.pop(key, None)

    def _grant(self, key: str, asked: Decimal) -> None:
        self.give_up(key)
        self._granted[key] = asked
        self._held += asked

    def grant(self, call: PreparedCall, key: str) -> Decimal | None:
        """The most that a call may cost, which counts from now on; None where nobody knows, and it may be made all the same.

        Raises BudgetExceededError when that is above a bound, whatever the ledger says.
        """
        self._closed(call)
        cost = call.cost
        if cost.high is None:
            if self._policy.unknown == "refuse":
                why = f"what it costs is unknown ({cost.reason}), and a budget is set"
                raise self._told(call, f'{why}; [money] unknown = "allow" lets such calls go')
            return None
        room = self._bound_of(cost.high, key)
        if room is not None:
            raise self._refuse(call, cost.high, room)
        self._grant(key, cost.high)  # at once: calls outside of a run come together
        return cost.high

    def _bound_of(self, asked: Decimal, key: str) -> Room | None:
        """The bound that is exceeded whatever the ledger says; None when there is none."""
        # the ledger knows what a run has spent; of calls outside of one, nobody but this object
        held = Decimal(0) if self._run else self._held - self._granted.get(key, Decimal(0))
        if self._policy.max_run is not None and held + asked > self._policy.max_run:
            return Room("run", reserved=billionths(held))
        return Room("day") if self._policy.max_day is not None and asked > self._policy.max_day else None

    def _wanted(self, key: str, asked: Decimal) -> tuple[Reservation, Bounds]:
        run = None if self._policy.max_run is None or not self._run else billionths(self._policy.max_run)
        day = None if self._policy.max_day is None else billionths(self._policy.max_day)
        since = 0.0 if day is None else self._services.ledger.spending.day_began(self._services.clock())
        return Reservation(key, self._run, billionths(asked)), Bounds(run, day, since)

    def _closed(self, call: PreparedCall) -> None:
        if self._refused:
            raise BudgetExceededError(
                f"{call.job.id} was not started: the budget did not allow {self._refused}", later=True
            )

    def _refuse(self, call: PreparedCall, asked: Decimal, room: Room) -> BudgetExceededError:
        most = self._policy.max_run if room.bound == "run" else self._policy.max_day
        whole = "this run" if self._run else "these calls" if self._many else "a call outside of a run"
        of = whole if room.bound == "run" else "this project today"
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
