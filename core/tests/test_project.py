"""Where a project keeps its state, and how it is opened."""

from __future__ import annotations

import pytest

import callsheet
from callsheet.errors import ConfigError
from callsheet.opening import project_at
from callsheet.project import Project
from callsheet.secrets import Redactor


def test_the_state_tells_version_control_to_leave_it_alone(tmp_path):
    """A .gitignore of its own, written once."""
    project = Project.at(tmp_path)
    project.prepare()
    project.prepare()
    assert (tmp_path / ".callsheet/.gitignore").read_text() == "*\n"


def test_a_sheet_s_name_moves_with_its_project(tmp_path):
    """A path inside the project, else the whole path."""
    project = Project.at(tmp_path)
    assert project.sheet_id(tmp_path / "films/lava/sheet.toml") == "films/lava/sheet.toml"
    assert project.sheet_id(tmp_path.parent / "sheet.toml") == (tmp_path.parent / "sheet.toml").as_posix()


def test_the_nearest_configuration_makes_the_project(tmp_path):
    """From a folder below it; without one, the folder itself."""
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    assert project_at(below).folder == below
    (tmp_path / "callsheet.toml").write_text("")
    assert project_at(below).folder == tmp_path


def test_outside_of_a_project_the_user_s_state_folder_serves(tmp_path, monkeypatch):
    """For single calls; inside of a project its own state does."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "somewhere"
    folder.mkdir()
    assert tmp_path / "state" in project_at(folder, user=True).state.parents
    (folder / "callsheet.toml").write_text("")
    assert project_at(folder, user=True).state == folder / ".callsheet"


async def test_open_reads_the_configuration(tmp_path):
    """And closes what it opened."""
    (tmp_path / "callsheet.toml").write_text("[run]\nconcurrency = 3\n")
    async with callsheet.open(tmp_path) as client:
        assert client.runtime.settings.concurrency == 3
    (tmp_path / "callsheet.toml").write_text("[run]\nconcurency = 3\n")
    with pytest.raises(ConfigError, match="concurrency"):
        async with callsheet.open(tmp_path):
            raise AssertionError


async def test_the_library_s_log_is_silent_until_the_application_configures_it(tmp_path, capfd):
    """Nothing on stdout or stderr; a configured stdlib logger gets the event."""
    import logging

    from callsheet.services import library_log

    library_log(Redactor()).error("job.broke", job="a")
    out, err = capfd.readouterr()
    assert out == err == ""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("callsheet").addHandler(handler)
    try:
        library_log(Redactor()).warning("job.abort_failed", job="b")
    finally:
        logging.getLogger("callsheet").removeHandler(handler)
    assert records[0].getMessage() == "job.abort_failed"
    assert records[0].job == "b"
