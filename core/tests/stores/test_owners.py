"""Owners: alive exactly as long as their process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from callsheet.errors import ConfigError
from callsheet.stores import owners
from callsheet.stores.owners import Owner


def test_an_owner_lives_until_its_process_is_killed(tmp_path, owner, child):
    """kill -9 is seen at once, without a clock."""
    other = child("own", tmp_path)
    other_id = other.line()
    assert owner.is_alive(other_id)
    other.kill()
    assert not owner.is_alive(other_id)


def test_many_owners_at_once(tmp_path):
    """One process may be several owners (two projects, two clients), and each is told from the others."""
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: Owner.start(tmp_path), range(64)))
    assert len({one.id for one in started}) == 64
    assert all(started[0].is_alive(one.id) and one.is_alive(started[0].id) for one in started)
    for one in started[1::2]:
        one.close()
    assert [started[0].is_alive(one.id) for one in started] == [True, False] * 32
    for one in started:
        one.close()
    assert not list((tmp_path / "owners").iterdir())


def test_closing_twice_is_fine(tmp_path):
    """A closed owner is dead, also to itself, and leaves no file."""
    owner = Owner.start(tmp_path)
    owner.close()
    owner.close()
    assert not owner.is_alive(owner.id)
    assert not list((tmp_path / "owners").iterdir())


@pytest.mark.parametrize("strange", ["", "x", "../../etc/passwd", "A" * 32, "0" * 32, "0" * 33])
def test_an_id_nobody_has_is_dead(owner, strange):
    """Ids from a ledger never become paths outside of the folder, and asking creates nothing."""
    assert not owner.is_alive(strange)
    assert len(list((owner.folder / "owners").iterdir())) == 1


def test_lock_files_of_dead_owners_are_swept(tmp_path, owner, child):
    """A new owner removes what killed processes left, and only that."""
    other = child("own", tmp_path)
    other_id = other.line()
    other.kill()
    assert (tmp_path / "owners" / f"{other_id}.lock").exists()
    third = Owner.start(tmp_path)
    assert not (tmp_path / "owners" / f"{other_id}.lock").exists()
    assert third.is_alive(owner.id)
    third.close()


def test_an_owner_whose_new_file_is_swept_away_tries_again(tmp_path, monkeypatch):
    """The file that was removed between creation and lock guards nothing: another one is made."""
    real, made = owners._lock, []

    def swept_once(path):
        lock = real(path)
        if not made:
            path.unlink()
        made.append(path)
        return lock

    monkeypatch.setattr(owners, "_lock", swept_once)
    owner = Owner.start(tmp_path)
    assert len(made) == 2
    assert [path.stem for path in (tmp_path / "owners").iterdir()] == [owner.id]
    owner.close()


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path):
    """The message names the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        Owner.start(tmp_path / "file")
