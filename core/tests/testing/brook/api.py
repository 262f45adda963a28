"""One request to the vendor, with the key, and its errors."""

import logging

from callsheet.plugin import ErrorKind, Receipt, Sent, reply_error

LOG = logging.getLogger("callsheet_brook")


async def headers(context):
    """The key's header."""
    key = await context.secrets.key()
    return {"authorization": f"Bearer {key.reveal()}"}


async def ask(context, method, path, lost=False, **more):
    """The JSON of a success. Raises ProviderError."""
    reply = await context.http.send(method, path, headers=await headers(context), **more)
    if reply.status >= 400:
        gone = lost and reply.status == 404
        kind, sent = (ErrorKind.JOB_LOST, Sent.UNKNOWN) if gone else (None, None)
        raise reply_error(
            reply, f"the brook says {reply.body.decode()}", kind=kind, sent=sent, ref=str(context.job.ref)
        )
    return reply.json()


def receipt_of(job_id, expects, context, state):
    """The receipt of a job or a batch."""
    return Receipt(
        ref=context.job.ref,
        operation=context.job.operation,
        job_id=job_id,
        key=context.key,
        request_digest=context.request_digest,
        expects=expects,
        created=context.clock(),
        state=state,
    )
