"""The process in which the kit looks at mutants: each one in a fork, so that none sees what another has imported.

It reads one question a line from stdin, `{"project": …, "plugin": …, "only": […]}`, installs the project, and writes the
report as one line, or an empty line where there is none.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from callsheet.testing import conformance

WARMING = {"callsheet_mock": "mock-answers", "callsheet_elevenlabs": "one-paid-request"}


def main() -> None:
    """Until there are no more questions."""
    spec = spec_from_file_location("conftest", Path(__file__).parents[1] / "conftest.py")
    shared = module_from_spec(spec)
    sys.modules["conftest"] = shared
    spec.loader.exec_module(shared)
    for plugin, check in WARMING.items():  # what they load, all forks have
        conformance(plugin, only=[check]).assert_ok()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a mutant that prints does not break into the answers
    for line in iter(sys.stdin.readline, ""):
        if os.fork() == 0:
            try:
                asked = json.loads(line)
                shared.Site(pytest.MonkeyPatch(), []).install(Path(asked["project"]))
                report = conformance(asked["plugin"], only=asked["only"])
                print(json.dumps(report.as_json()), end="", file=answers, flush=True)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.wait()
        print(file=answers, flush=True)


if __name__ == "__main__":
    main()
