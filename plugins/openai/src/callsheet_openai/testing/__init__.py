"""A server on this machine that plays OpenAI, for tests: point `OPENAI_BASE_URL` (or the base URL setting) at it.

```python
with OpenAIServer() as server:
    server.account.answers.append(Answer("Lava is molten rock."))
    server.fail("respond", refusal(429, code="rate_limit_exceeded", retry_after="3"))
    ...  # calls of the plugin, with the key `server.key` and the base URL `server.origin`
    assert server.paid[0].json["model"] == "gpt-5"
```
"""

from __future__ import annotations

from callsheet.testing import Exchange, Fault
from callsheet_openai.testing.account import Account
from callsheet_openai.testing.answers import Answer, ToolCall
from callsheet_openai.testing.media_answers import HEARD
from callsheet_openai.testing.server import KEY, OpenAIServer, refusal

__all__ = ["HEARD", "KEY", "Account", "Answer", "Exchange", "Fault", "OpenAIServer", "ToolCall", "refusal"]
