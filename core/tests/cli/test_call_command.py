"""`callsheet call`, and `resume` of a receipt."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def test_text_goes_to_stdout(cli, toy):
    """Only the text; the cost is on stderr."""
    ended = cli("call", "toytext", "-p", "prompt=hello")
    assert (ended.code, ended.out) == (0, "text for hello\n")
    assert "cost: $0.00" in ended.err


def test_text_from_a_file_and_escaped(cli, toy):
    """@file is read, @@ is an @."""
    Path("p.md").write_text("from a file")
    assert cli("call", "toy:text", "-p", "prompt=@p.md").out == "text for from a file\n"
    assert cli("call", "toy:text", "-p", "prompt=@@home").out == "text for @home\n"
    assert cli("call", "toy:text", "-p", "prompt=@nothing").code == 2


def test_files_never_overwrite(cli, toy):
    """Without -o a free name is taken and printed; with -o the file is as asked for."""
    Path("image.png").write_text("mine")
    assert cli("call", "toy:image", "-p", "prompt=x").out == "image-2.png\n"
    assert Path("image.png").read_text() == "mine"
    assert cli("call", "toy:image", "-p", "prompt=x", "-o", "a.png").out == "a.png\n"
    many = cli("call", "toy:image", "-p", "prompt=x", "-p", "count=2", "-o", "b.png")
    assert many.out == "b-0.png\nb-1.png\n"
    assert Path("b-1.png").read_bytes().startswith(b"\x89PNG")
    assert cli("call", "toy:text", "-p", "prompt=x", "-o", "t.txt").out == "t.txt\n"
    assert Path("t.txt").read_text() == "text for x"


def test_no_file_is_called_what_it_is_not(cli, toy):
    """A picture gets the right extension and overwrites nothing; a name that says nothing, or is for text, is kept."""
    Path("a.png").write_text("mine")
    call = ("call", "toy:image", "-p", "prompt=x")
    ended = cli(*call, "-o", "a.jpeg")
    assert (ended.code, ended.out) == (0, "a-2.png\n")
    assert "warning: a.jpeg would hold image/png, so it is saved as a-2.png" in ended.err
    assert (Path("a.png").read_text(), Path("a.jpeg").exists()) == ("mine", False)
    document = cli(*call, "-p", "count=2", "-o", "b.wav", "--json").document
    assert [artifact["file"] for artifact in document["artifacts"]] == ["b-0.png", "b-1.png"]
    assert document["warnings"][1] == "b-1.wav would hold image/png, so it is saved as b-1.png"
    odd = cli(*call, "-o", "c.data")
    assert (odd.out, "warning: c.data holds image/png" in odd.err) == ("c.data\n", True)
    assert cli(*call, "-o", "plain").err == cli(*call, "-o", "d.PNG").err == "cost: $0.00\n"
    text = ("call", "toy:text", "-p", "prompt=x", "-o")
    assert (cli(*text, "t.md").out, cli(*text, "t.md").err) == ("t.md\n", "cost: $0.00\n")
    assert "warning: t.png holds text/plain" in cli(*text, "t.png").err


def test_call_document(cli, toy):
    """Text stands in the document; --reuse pays for nothing."""
    document = cli("call", "toy:text", "-p", "prompt=x", "--json").document
    assert document["artifacts"][0]["text"] == "text for x"
    assert document["reused"] is False
    assert cli("call", "toy:text", "-p", "prompt=x", "--reuse", "--json").document["reused"] is True
    image = cli("call", "toy:image", "-p", "prompt=x", "--json").document["artifacts"][0]
    assert Path(image["file"]).stat().st_size == image["bytes"]


def test_options_are_json_or_text(cli, toy):
    """An option that is JSON is taken as such, and what the model says of its end is told."""
    ended = cli("call", "toy:image", "-p", "prompt=x", "--option", "n=[1, 2]", "--option", "word=blue", "-o", "o.png")
    assert ended.code == 0
    assert b"{'n': [1, 2], 'word': 'blue'}" in Path("o.png").read_bytes()
    assert "not complete: length" in cli("call", "toy:text", "-p", "prompt=x", "--option", "finish=length").err


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("toy:text", "-p", "promt=x"), 2),
        (("toy:text", "-p", "prompt=x", "-p", "prompt=y"), 2),
        (("toy:text",), 2),
        (("toy:none", "-p", "prompt=x"), 2),
        (("toy:text", "-p", "prompt=x", "--operation", "text.gen"), 2),
        (("toy:text", "-p", "prompt=x", "-o", "no/such/folder.txt"), 2),
        (("toy:text", "-p", "prompt=x", "-p", "seed=1", "--strict"), 2),
        (("toy:text", "-p", "prompt=x", "--option", "fail=authentication"), 3),
        (("toy:text", "-p", "prompt=x", "--option", "fail=invalid_request"), 4),
        (("toy:text", "-p", "prompt=x", "--option", "fail=overloaded"), 1),
        (("toy:text", "-p", "prompt=x", "--option", "needs_key=1"), 3),
    ],
)
def test_failures(cli, toy, args, code):
    """The message is on stderr, the document on stdout, and the code tells what kind it was."""
    ended = cli("call", *args)
    assert (ended.code, ended.out) == (code, "")
    assert "rror: " in ended.err
    assert "Traceback" not in ended.err
    document = cli("call", *args, "--json").document
    assert document.keys() == {"error"}
    assert document["error"].keys() == {"kind", "sent", "message", "ref", "producer", "docs_url"}


def test_a_fallback_is_asked(cli, toy):
    """The result is the fallback's, and which model failed is told on stderr."""
    asked = ("call", "toy:text", "-p", "prompt=x", "--option", "fail=overloaded")
    ended = cli(*asked, "--fallback", "toy:video", "--fallback", "toy:text")
    assert (ended.code, ended.out) == (0, "text for x\n")
    assert "the fallback toy:video cannot take the call" in ended.err
    assert "toy:text failed (overloaded), so toy:text was asked" in ended.err


def test_state_of_calls(cli, toy, tmp_path):
    """Outside of a project the user's state folder is used, and the working folder stays clean."""
    assert cli("call", "toy:text", "-p", "prompt=x").code == 0
    assert not Path(".callsheet").exists()
    assert (tmp_path / "state" / "callsheet" / "ledger.sqlite3").is_file()
    Path("callsheet.toml").touch()
    assert cli("call", "toy:text", "-p", "prompt=x").code == 0
    assert Path(".callsheet/ledger.sqlite3").is_file()


def test_interrupted_call_leaves_its_receipt(cli, toy):
    """A job that the provider does not stop can be collected later, by the receipt alone."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "callsheet", "call", "toy:video", "-p", "prompt=x"),
            *("--option", "hang=true", "--option", "abort=client_side_only"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not Path("hanging").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    (receipt,) = Path().glob("receipt-*.json")
    assert f"callsheet resume {receipt}" in err
    receipt.write_text(receipt.read_text().replace('"hang":true', '"fine":true'))
    ended = cli("resume", receipt)
    assert ended.code == 0
    assert ended.out == "video.png\n"


def test_bad_receipts(cli, toy):
    """No file, no JSON, no receipt, too large."""
    assert cli("resume", "none.json").code == 2
    for text in ("{", "{}", " " * (1 << 21)):
        Path("r.json").write_text(text)
        ended = cli("resume", "r.json", "--json")
        assert ended.code == 2
        assert ended.document["error"]["message"].startswith("r.json: ")


def test_a_plugin_that_is_new_to_the_user_is_told_of_once(cli, toy, tmp_path):
    """On stderr, and never beside a JSON document, whose reader may be a program."""
    (tmp_path / "state" / "callsheet" / "plugins-seen.json").unlink()
    assert cli("call", "toy:text", "-p", "prompt=hi", "--json").err == ""
    assert cli("call", "toy:text", "-p", "prompt=hi").err.count("new here: callsheet-toy 1.0; `callsheet plugins") == 1
    assert "new here" not in cli("call", "toy:text", "-p", "prompt=hi").err
