"""Whose a remote job is: its receipt names the provider and the account that it was made with."""

from __future__ import annotations

from dataclasses import replace

from callsheet.context import JobContext
from callsheet.errors import ConfigError, ErrorKind, JobLostError, ProviderError, Sent
from callsheet.jobs import Receipt
from callsheet.models import Mode
from callsheet.registry import BoundHandler
from callsheet.services import Services
from callsheet.storage import CallRecord

__all__ = ["account_of", "refuse_other_account", "refuse_other_list", "sent_by", "stamped"]

_NOT_THERE = frozenset({ErrorKind.JOB_LOST, ErrorKind.ACCESS_DENIED, ErrorKind.MODEL_NOT_FOUND})


async def account_of(services: Services, bound: BoundHandler) -> str:
    """The account whose key is set now; empty when that cannot be said. Never raises."""
    try:
        return await services.scope(bound.asker, bound.secrets).account()
    except Exception as error:  # noqa: BLE001 - what is or will be paid for is worth more than the account's name
        services.log.warning("account.unknown", ref=str(bound.ref), error=type(error).__name__)
        return ""


def sent_by(call: CallRecord) -> str:
    """The account that a call without a receipt was sent with; empty when that is not known."""
    return str(call.request.get("account", ""))


async def stamped(services: Services, bound: BoundHandler, receipt: Receipt) -> Receipt:
    """The receipt, about to be recorded, with the names of its origin (`mock` for a mocked call) and account. Never raises."""
    account = await account_of(services, bound)
    return replace(receipt, origin=Mode.MOCK.value if bound.simulated else receipt.ref.provider, account=account)


async def refuse_other_account(receipt: Receipt, context: JobContext, error: ProviderError) -> None:
    """Raise ConfigError when a job is said not to be there and the key is another one than it was made with.

    Such a job is not lost: nothing must be recorded of it, nor sent again. The provider is asked first, because a new
    key may be of the same account.
    """
    if not receipt.account or error.kind not in _NOT_THERE:
        return
    account = await context.secrets.account()
    if account and account != receipt.account:
        text = "was made with another key than the one that is set now, and its account has no such job"
        raise ConfigError(
            f"{receipt.ref} job {receipt.job_id} {text}: set the key of the account that made it"
        ) from error


async def refuse_other_list(account: str, context: JobContext) -> None:
    """Raise JobLostError when a job was looked for in vain, but with another key than it was sent with.

    That account's list says nothing of it: it may be paid for, and must not be sent again.
    """
    now = await context.secrets.account() if account else ""
    if now and now != account:
        text = "it was sent with another key than the one that is set now: set the key of the account that sent it"
        raise JobLostError(text, ref=str(context.job.ref), sent=Sent.UNKNOWN)
