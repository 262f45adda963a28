"""Checks of what importing a plugin does: each finds the plugin that it is for."""

from __future__ import annotations

from kit_tests.faults import BrokenPlugins

from callsheet.testing.import_checks import TABLE

ENTRY, IMPORT = "__init__.py", "from callsheet.plugin import HandlerSpec"
THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, name='toy-watch', daemon=True).start()\n"
BROKEN = [
    ("import-light", ENTRY, IMPORT, f"import httpx2\n{IMPORT}", "imports httpx2 at once"),
    ("import-light", ENTRY, IMPORT, f"import pydantic\n{IMPORT}", "imports pydantic"),
    ("import-light", ENTRY, IMPORT, f"1 / 0\n{IMPORT}", "cannot be imported: ZeroDivision"),
    ("import-silent", ENTRY, IMPORT, f"print('hi')\n{IMPORT}", "prints 3 bytes to stdout"),
    ("import-silent", ENTRY, IMPORT, f"import os\nos.write(2, b'hello')\n{IMPORT}", "prints 5 bytes to stderr"),
    ("import-offline", ENTRY, IMPORT, f"import socket\nsocket.socket().close()\n{IMPORT}", r"toy/__init__.py:\d+\): reaches the network"),
    ("import-offline", ENTRY, IMPORT, f"import subprocess\nsubprocess.run(['true'])\n{IMPORT}", "starts a process"),
    ("import-environment", ENTRY, IMPORT, f"import os\nos.environ.get('TOY_KEY')\n{IMPORT}", "reads the environment"),
    ("import-environment", ENTRY, IMPORT, f"from os import getenv\nB = getenv('TOY_BASE_URL')\n{IMPORT}", "reads the environment"),
    ("import-environment", "answers.py", "TAKEN = (", "KEY = os.environ.get('TOY_KEY')\nTAKEN = (", r"toy/answers.py:\d+\): reads the environment"),
    ("import-threads", ENTRY, IMPORT, f"{THREAD}{IMPORT}", "starts the thread toy-watch"),
    ("import-state", ENTRY, IMPORT, f"import logging\nlogging.basicConfig()\n{IMPORT}", "changes the root logger"),
    ("import-state", ENTRY, IMPORT, f"import sys\nsys.path.append('x')\n{IMPORT}", "changes sys.path"),
    ("import-state", ENTRY, IMPORT, f"import os\nos.environ['TOY'] = '1'\n{IMPORT}", "changes the environment"),
    ("import-state", ENTRY, IMPORT, f"import signal\nsignal.signal(15, signal.SIG_IGN)\n{IMPORT}", "changes signal handlers"),
    ("import-state", ENTRY, IMPORT, f"import sys\nsys.excepthook = print\n{IMPORT}", "changes sys.excepthook"),
    ("import-state", ENTRY, IMPORT, f"import socket\nsocket.setdefaulttimeout(3)\n{IMPORT}", "changes the timeout of all sockets"),
]  # fmt: skip


class TestTable(BrokenPlugins):
    """Each of the plugins above, and each check."""

    table, broken = TABLE, BROKEN
