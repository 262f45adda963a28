"""What both text wires share: instructions, output schema, sampling, reasoning, tools.

Keys of a row's `data`, beside the draft's: `efforts` (the reasoning efforts it takes; an empty list: it does not reason),
`effort` (the one it takes by itself), `refuses_reasoning` (fields that it takes only with the effort `none`), `reads`
(media types of input files), `structured` (`json_schema`, `json_object` or `text`), `web_search` (False: it has none),
`max_tokens` (the field of Chat Completions for it). A key that is absent limits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet.plugin import CapabilityUnsupportedError, Expected, Job, Sent, TextInputs
from callsheet_openai.draft import OpenAIDraft
from callsheet_openai.schemas import in_words, loosely, strictly, why_not_strict

__all__ = ["TextDraft", "text_inputs"]

_NAME = "answer"
_COUNT = "one call gives one answer: use several calls"


class TextDraft(OpenAIDraft):
    """A draft of a text request; `wishes` are the options that are still to be placed."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.wishes: dict[str, Any] = dict(job.options)
        self.effort = ""

    def take(self, name: str) -> Any:
        """An option, which is then no longer to be placed."""
        return self.wishes.pop(name, None)

    def leave_out(self, names: frozenset[str], why: str) -> None:
        """Warn of the options that this wire has no field for."""
        for name in sorted(names & self.wishes.keys()):
            if self.take(name) is not None:
                self.unsupported(name, why)

    def rest(self) -> None:
        """Place what is left of the options as the vendor's own fields, known here or not."""
        if self.take("n") not in (None, 1):
            self.unsupported("n", _COUNT)
        for name, value in self.wishes.items():
            if name in ("model", "stream", "stream_options", "input", "messages"):
                self.unsupported(name, "callsheet sets it by itself")
            else:
                self.sampling(name, value)

    def sampling(self, field: str, value: object, attribute: str = "") -> None:
        """Set a field, unless the model takes it only where it does not reason."""
        if value is not None and field in self.names("refuses_reasoning") and self.effort != "none":
            self.unsupported(attribute or field, "it takes it with reasoning_effort = 'none' only")
        else:
            self.put(field, value, attribute)

    def reasoning_effort(self) -> str | None:
        """The effort asked for, if the model knows it."""
        reasoning = self.wishes.get("reasoning")
        inside = reasoning.get("effort") if isinstance(reasoning, Mapping) else None
        wished = self.take("reasoning_effort") or inside
        self.effort = str(wished or self.data.get("effort", ""))
        if wished is None or "efforts" not in self.data or wished in self.names("efforts"):
            return None if wished is None else str(wished)
        known = ", ".join(self.names("efforts"))
        self.effort = str(self.data.get("effort", ""))
        self.unsupported("reasoning_effort", f"{wished!r} is none of {known}" if known else "it does not reason")
        return None

    @property
    def reasons(self) -> bool:
        """False for a model that is known not to reason."""
        return "efforts" not in self.data or bool(self.names("efforts"))

    def instructions(self, inputs: TextInputs, own: object = None) -> str | None:
        """The system text, or `own` in its place, with the wishes that have no field of their own."""
        texts = [str(own or inputs.system)] if own or inputs.system else []
        if inputs.language:
            texts.append(f"Answer in the language {inputs.language} (a BCP 47 tag).")
            self.emulated("language", "has no field for the language: it is asked for")
        schema = inputs.output_schema
        if schema is not None and self.structured != "json_schema":
            texts.append(in_words(schema))
            what = "has no structured output: the schema is asked for, and the answer checked"
            self.emulated("output_schema", what)
        return "\n\n".join(texts) or None

    @property
    def structured(self) -> str:
        """How the model is made to answer in JSON: `json_schema`, `json_object` or `text`."""
        return str(self.data.get("structured", "json_schema"))

    def form_is_ours(self, name: str, wished: object, inputs: TextInputs) -> bool:
        """True, with a warning for an option beside it, where `output_schema` says the form: the answer is checked by that."""
        if inputs.output_schema is not None and wished is not None:
            self.unsupported(name, "output_schema says what form the answer has")
        return inputs.output_schema is not None

    def schema_format(self, inputs: TextInputs) -> dict[str, Any] | None:
        """`{name, schema, strict}` of the answer's schema; None where nothing is asked for, or not by a schema."""
        schema = inputs.output_schema
        if schema is None or self.structured != "json_schema":
            return None
        problem = why_not_strict(schema)
        if problem:
            what = f"does not enforce the schema ({problem}): the answer is checked against it"
            self.emulated("output_schema", what)
        return {"name": _NAME, "schema": loosely(schema) if problem else strictly(schema), "strict": not problem}

    def expected(self, inputs: TextInputs) -> Expected:
        """What the answer will be."""
        if inputs.output_schema is None:
            return Expected("text", "text/plain")
        return Expected("json", "application/json", schema=inputs.output_schema)

    def built_in(self, name: str) -> dict[str, Any] | None:
        """The settings of a tool that the vendor runs: `true`, a table, or false for none."""
        wish = self.take(name)
        if wish in (None, False):
            return None
        if self.data.get(name) is False:
            self.unsupported(name)
            return None
        if wish is not True and not isinstance(wish, Mapping):
            raise self.invalid(f"takes {name} = true or a table of its settings, not {wish!r}")
        return {} if wish is True else dict(wish)

    def tools(self) -> list[Any]:
        """The tools that the caller gave. Raises InvalidRequestError for what is no list of tables."""
        tools = self.take("tools") or []
        if not isinstance(tools, (list, tuple)) or not all(isinstance(tool, Mapping) for tool in tools):
            raise self.invalid("takes tools as a list of tables")
        return list(tools)


def text_inputs(job: Job) -> TextInputs:
    """The job's inputs. Raises CapabilityUnsupportedError for a job of another kind."""
    if not isinstance(job.inputs, TextInputs):
        text = f"{job.ref} generates text and not {job.operation}"
        raise CapabilityUnsupportedError(text, ref=str(job.ref), sent=Sent.NOT_SENT)
    return job.inputs
