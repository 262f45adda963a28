"""Checks of errors: each finds the plugin that it is for."""

from __future__ import annotations

from kit_tests.faults import BrokenPlugins

from callsheet.testing.error_checks import TABLE

CODE = "answers.py"
SEND = '        reply = await context.http.send("POST"'
MAPPED = '            raise reply_error(reply, "the toy says no", ref=str(request.ref))\n        return'
STRANGE = '            raise JobFailedError("no")\n        return'
WITHOUT_WAIT = '            dict.pop(reply.headers, "retry-after", 0)\n'
PARSED = 'JobResult((TextArtifact(reply.json()["text"]),))'
GUARDED = f"""        from callsheet.plugin import ProviderError
        try:
            (await context.http.send("POST", "/answers", json={{}})).json()
        except ProviderError as error:
            raise JobFailedError("no") from error
{SEND}"""
MAPPINGS = [
    ("error-unauthorized", "401", "authentication"),
    ("error-quota", "402", "quota_exceeded"),
    ("error-forbidden", "403", "access_denied"),
    ("error-not-found", "404", "model_not_found"),
    ("error-conflict", "409", "invalid_request"),
    ("error-invalid", "422", "invalid_request"),
    ("error-rate-limited", "429", "rate_limited"),
    ("error-retry-date", "429 with a date", "rate_limited"),
    ("error-busy", "529", "overloaded"),
    ("error-server", "502 with a page", "overloaded"),
]
BROKEN = [
    *((check, CODE, MAPPED, STRANGE, rf"{fault}: raises JobFailedError \(sent: finished\), and not {kind}") for check, fault, kind in MAPPINGS),
    ("error-unauthorized", CODE, MAPPED, "            pass\n        return", "lets through KeyError"),
    ("error-busy", CODE, MAPPED, '            return JobResult((TextArtifact("x"),))\n        return', "503: gives a result, and not"),
    ("error-rate-limited", CODE, MAPPED, WITHOUT_WAIT + MAPPED, "retry_after = None; the vendor said"),
    ("error-rate-limited", "testing.py", "    def __init__", '    wait_header = "X-Wait-Ms"\n\n    def __init__', "retry_after = None; the vendor said x-wait-ms: 7000"),
    ("error-retry-date", CODE, MAPPED, WITHOUT_WAIT + MAPPED, "retry_after = None; the vendor said Retry-After: a date"),
    ("error-not-found", CODE, SEND, '        raise JobFailedError("x")\n' + SEND, "sends nothing to context.origin"),
    ("error-unreachable", CODE, SEND, GUARDED, r"no connection: raises JobFailedError \(sent: finished\), and not connection_failed"),
    ("error-cut", CODE, SEND, GUARDED, r"a cut reply: raises JobFailedError \(sent: finished\), and not connection_failed or malformed"),
    ("error-page", CODE, PARSED, 'JobResult((TextArtifact(reply.body.decode()),))', "a page in place of JSON: gives a result"),
    ("error-empty", CODE, PARSED, 'JobResult((TextArtifact(reply.body.decode()),))', "an empty reply: gives a result"),
    ("error-empty", CODE, PARSED, 'JobResult((TextArtifact(json.loads(reply.body)["text"]),))', "an empty reply: lets through JSONDecodeError"),
    ("error-redirect", CODE, PARSED, 'JobResult((TextArtifact("x"),))', "a redirect: gives a result"),
    ("error-names", CODE, MAPPED, '            raise reply_error(reply, "the toy says no")\n        return', "raises AuthenticationError that names no model"),
    ("no-retry", CODE, SEND, '        await context.http.send("GET", "/ready")\n' + SEND, "sends 2 requests for one call"),
    ("no-retry", CODE, SEND, '        raise JobFailedError("x")\n' + SEND, "sends no request"),
    ("no-sleep", CODE, SEND, "        await asyncio.sleep(0.001)\n" + SEND, r"toy/answers.py:\d+: sleeps in a call"),
    ("no-sleep", CODE, SEND, "        from time import sleep\n        sleep(0.001)\n" + SEND, r"toy/answers.py:\d+: sleeps in a call"),
    ("no-secret", CODE, '"the toy says no", ref=str(request.ref))\n        return', "str(headers))\n        return", "field user_message|message"),
    ("no-secret", CODE, "ref=str(request.ref))\n        return", "raw=headers)\n        return", "stands in the field raw"),
    ("no-secret", CODE, "ref=str(request.ref))\n        return", "ref='') from KeyError(str(headers))\n        return", "traceback"),
    ("no-secret-logged", CODE, SEND, "        import logging\n        logging.getLogger('toy.wire').debug('to send: %s', headers)\n" + SEND, "the key is shown by toy.wire"),
    ("no-secret-logged", CODE, SEND, "        print(headers)\n" + SEND, "the key is shown by a print"),
    ("error-rate-limited", CODE, '"the toy says no", ref=str(request.ref))\n        return', '"the toy says no", ref=str(request.ref), retryable=False)\n        return', "has retryable = False: nobody would send it again"),
    ("error-invalid", CODE, '"the toy says no", ref=str(request.ref))\n        return', '"the toy says no", ref=str(request.ref), retryable=True)\n        return', "has retryable = True: it would be sent again"),
]  # fmt: skip


class TestTable(BrokenPlugins):
    """Each of the plugins above, and each check."""

    table, broken = TABLE, BROKEN
