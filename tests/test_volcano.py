"""The example as a new user meets it: from the command line, offline, to files that other programs open."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.testing import assert_audio, assert_image, assert_video

EXAMPLE = Path(__file__).parent.parent / "examples" / "volcano"
JOBS = {"script", "music", *(f"{p}[{i}]" for p in ("prompt", "still", "narration", "clip") for i in range(3))}


def callsheet(*arguments, code=0):
    """Run the command and give what it prints on stdout."""
    run = subprocess.run([sys.executable, "-m", "callsheet", *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode == code, run.stderr
    return run.stdout


def callsheet_json(*arguments, code=0):
    """Run the command with --json and give its document."""
    return json.loads(callsheet(*arguments, "--json", code=code))


def copy_of_example(folder):
    """The example without what runs leave behind."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".callsheet", "output*"))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The example, run once: its folder and the run's document."""
    folder = copy_of_example(tmp_path_factory.mktemp("made") / "volcano")
    return folder, callsheet_json("run", folder, "--mode", "mock")


def test_every_job_is_executed_and_every_artifact_is_there(made):
    """Fourteen jobs, each with its file, its digest and its size."""
    folder, document = made
    assert (document["status"], document["executed"], document["failed"]) == ("succeeded", 14, 0)
    assert {artifact["job"] for artifact in document["artifacts"]} == JOBS
    for artifact in document["artifacts"]:
        data = Path(artifact["file"]).read_bytes()
        assert len(data) == artifact["bytes"] < 4_000_000
        assert hashlib.sha256(data).hexdigest() == artifact["sha256"]
        assert Path(artifact["file"]).parent == folder / "output-mock"


def test_pictures_open_with_the_asked_shape(made):
    """JPEG, 16:9."""
    for number in range(3):
        seen = assert_image(made[0] / f"output-mock/still-{number}.jpg", media_type="image/jpeg")
        assert seen.width * 9 == seen.height * 16


def test_clips_play_with_sound_for_as_long_as_asked(made):
    """H.264 and AAC, 16:9, five seconds within one frame."""
    for number in range(3):
        seen = assert_video(made[0] / f"output-mock/clip-{number}.mp4", seconds=5, within=1 / 24, sound=True)
        assert seen.codecs == ("h264", "aac")
        assert seen.width * 9 == seen.height * 16


def test_sounds_are_as_long_as_they_should_be(made):
    """Music as asked; narration as long as its text takes to speak."""
    script = json.loads((made[0] / "output-mock/script.json").read_text())
    assert_audio(made[0] / "output-mock/music.mp3", seconds=15, within=0.01)
    for number, segment in enumerate(script["segments"]):
        words = len(segment["narration"].split())
        seen = assert_audio(made[0] / f"output-mock/narration-{number}.mp3")
        assert words / 4 < seen.seconds < words


def test_the_script_is_what_its_schema_asks_for(made):
    """Structured output, with the number of segments that the inputs say."""
    import jsonschema_rs

    schema = json.loads((EXAMPLE / "schemas/script.json").read_text())
    schema["properties"]["segments"] |= {"minItems": 3, "maxItems": 3}
    jsonschema_rs.validate(schema, json.loads((made[0] / "output-mock/script.json").read_text()))


def test_two_runs_in_two_folders_give_the_same_bytes(made, tmp_path):
    """The mock is a pure function of the request."""
    folder = copy_of_example(tmp_path / "elsewhere")
    callsheet("run", folder, "--mode", "mock")
    about = ("manifest.json", "report.html")  # these two tell of the run: its id and its times
    mine = {p.name: p.read_bytes() for p in (folder / "output-mock").iterdir() if p.name not in about}
    theirs = {p.name: p.read_bytes() for p in (made[0] / "output-mock").iterdir() if p.name not in about}
    assert mine == theirs
    assert len(mine) == 14


def test_the_same_command_again_executes_nothing_and_says_so(tmp_path):
    """`executed = 0`, in words and in JSON."""
    folder = copy_of_example(tmp_path / "volcano")
    callsheet("run", folder, "--mode", "mock")
    assert callsheet_json("run", folder, "--mode", "mock")["executed"] == 0
    again = subprocess.run(
        [sys.executable, "-m", "callsheet", "run", str(folder), "--mode", "mock"], capture_output=True, text=True
    )
    assert "nothing to do" in again.stderr


def test_a_new_wording_of_one_segment_runs_exactly_what_depends_on_it(tmp_path):
    """The plan names the four jobs and why; the run executes these four."""
    folder = copy_of_example(tmp_path / "volcano")
    callsheet("run", folder, "--mode", "mock")
    shutil.copy(folder / "output-mock/script.json", folder / "script.json")
    sheet = (folder / "sheet.toml").read_text()
    schema = 'output_schema = "schemas/script.json"\n'
    (folder / "sheet.toml").write_text(sheet.replace(schema, schema + 'pin = "script.json"\n'))
    assert callsheet_json("plan", folder, "--mode", "mock")["counts"]["cached"] == 14
    script = json.loads((folder / "script.json").read_text())
    script["segments"][1]["narration"] = (
        "The mountain breathes out before it speaks, and the birds are the first to know."
    )
    (folder / "script.json").write_text(json.dumps(script))
    plan = callsheet_json("plan", folder, "--mode", "mock")
    waiting = {j["id"]: (j["state"], j["reason"], j["detail"]) for j in plan["jobs"] if j["state"] != "cached"}
    assert waiting == {
        "narration[1]": ("run", "inputs", "text"),
        "prompt[1]": ("run", "inputs", "prompt"),
        "still[1]": ("maybe", "upstream", "waits for prompt[1]"),
        "clip[1]": ("maybe", "upstream", "waits for still[1]"),
    }
    assert callsheet_json("run", folder, "--mode", "mock")["executed"] == 4
    manifest = json.loads((folder / "output-mock/manifest.json").read_text())
    executed = {j["id"]: j["reason"] for j in manifest["jobs"] if j["status"] == "executed"}
    assert executed == {"narration[1]": "inputs", "prompt[1]": "inputs", "still[1]": "upstream", "clip[1]": "upstream"}


def test_a_chosen_model_is_used_kept_replayed_and_forgotten(tmp_path):
    """`--model` holds until `--reset-selection`."""
    folder = copy_of_example(tmp_path / "volcano")

    def clip_models():
        manifest = json.loads((folder / "output-mock/manifest.json").read_text())
        return {job["ref"] for job in manifest["jobs"] if job["producer"] == "clip"}

    callsheet("run", folder, "--mode", "mock")
    chosen = callsheet_json("run", folder, "--mode", "mock", "--model", "clip=replicate:google/veo-3-fast")
    assert (chosen["executed"], clip_models()) == (3, {"replicate:google/veo-3-fast"})
    plain = callsheet_json("run", folder, "--mode", "mock")
    assert (plain["executed"], clip_models()) == (0, {"replicate:google/veo-3-fast"})
    assert "chosen earlier with --model" in plain["notes"][0]
    reset = callsheet_json("run", folder, "--mode", "mock", "--reset-selection")
    assert (reset["executed"], clip_models()) == (0, {"replicate:bytedance/seedance-1-pro-fast"})
    assert callsheet_json("run", folder, "--mode", "mock")["notes"] == []


def test_strict_refuses_what_nobody_checked(tmp_path, monkeypatch):
    """Without the live plugins the mapping is unchecked: under --strict that is an error before any job."""
    monkeypatch.setenv("CALLSHEET_PLUGINS", "mock")
    folder = copy_of_example(tmp_path / "volcano")
    document = callsheet_json("run", folder, "--mode", "mock", "--strict", code=2)
    assert "unchecked" in document["error"]["message"]
    assert not (folder / "output-mock").exists()


def test_a_live_run_without_its_plugins_sends_nothing(tmp_path, monkeypatch):
    """Exit code 3, and who is missing; what is not installed at all is among the bad inputs."""
    monkeypatch.setenv("CALLSHEET_PLUGINS", "mock")
    folder = copy_of_example(tmp_path / "volcano")
    document = callsheet_json("run", folder, code=3)
    assert document["error"]["kind"] == "config"
    assert "callsheet-openai 0.1.0) is not among those that CALLSHEET_PLUGINS allows" in document["error"]["message"]


def test_a_run_verifies(made):
    """Manifest, blobs and outputs are as they were written."""
    document = callsheet_json("runs", "verify", "--project", made[0])
    assert document["ok"] is True
