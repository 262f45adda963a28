"""The ledger's file: its tables, its version, and how it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from callsheet.errors import CallsheetError, ConfigError
from callsheet.stores.filesystem import make_folder, refuse_network, sync_folder

__all__ = ["SCHEMA_VERSION", "close_database", "explain", "open_database"]


_TABLES = """
CREATE TABLE calls (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, ref TEXT NOT NULL, operation TEXT NOT NULL, job TEXT NOT NULL,
    run TEXT NOT NULL, owner TEXT NOT NULL, epoch INTEGER NOT NULL, request_digest TEXT NOT NULL,
    request TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, request_id TEXT NOT NULL DEFAULT '',
    receipt TEXT, result TEXT, failure TEXT) STRICT;
CREATE INDEX calls_open ON calls (run) WHERE state IN ('claimed', 'sending', 'accepted', 'submitted');
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, epoch INTEGER NOT NULL, ref TEXT NOT NULL, number INTEGER NOT NULL,
    started REAL NOT NULL, ended REAL NOT NULL, outcome TEXT NOT NULL, kind TEXT NOT NULL, sent TEXT NOT NULL,
    message TEXT NOT NULL, cost TEXT) STRICT;
CREATE INDEX attempts_of ON attempts (key, epoch);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, at REAL NOT NULL, type TEXT NOT NULL,
    job TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX events_of ON events (run, seq);
CREATE TABLE runs (
    id TEXT PRIMARY KEY, sheet TEXT NOT NULL, mode TEXT NOT NULL, status TEXT NOT NULL, owner TEXT NOT NULL,
    started REAL NOT NULL, ended REAL, output TEXT NOT NULL, request TEXT NOT NULL) STRICT;
CREATE INDEX runs_by_start ON runs (started);
CREATE TABLE picks (
    sheet TEXT NOT NULL, job TEXT NOT NULL, key TEXT NOT NULL, ref TEXT NOT NULL, parts TEXT NOT NULL,
    PRIMARY KEY (sheet, job)) STRICT;
CREATE TABLE selections (
    sheet TEXT NOT NULL, producer TEXT NOT NULL, ref TEXT NOT NULL, PRIMARY KEY (sheet, producer)) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_WAITS = """
CREATE TABLE waits (key TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (key, owner)) STRICT;
"""
_CHATS = """
CREATE TABLE chats (
    id TEXT PRIMARY KEY, ref TEXT NOT NULL, mode TEXT NOT NULL, system TEXT NOT NULL, started REAL NOT NULL,
    updated REAL NOT NULL) STRICT;
CREATE TABLE exchanges (
    chat TEXT NOT NULL, number INTEGER NOT NULL, sample INTEGER NOT NULL, question TEXT NOT NULL, answer TEXT,
    PRIMARY KEY (chat, number)) STRICT;
"""
# Only over valid JSON: nothing that was paid for may be refused because of an index.
_JOBS = """
CREATE INDEX calls_of_job ON calls (json_extract(receipt, '$.job_id')) WHERE json_valid(receipt);
"""
_UPLOADS = """
CREATE TABLE uploads (
    origin TEXT NOT NULL, account TEXT NOT NULL, sha256 TEXT NOT NULL, media_type TEXT NOT NULL,
    address TEXT NOT NULL, uploaded REAL NOT NULL, expires REAL,
    PRIMARY KEY (origin, account, sha256, media_type)) STRICT;
"""
_GATES = """
CREATE TABLE gates (
    rate_key TEXT PRIMARY KEY, free REAL NOT NULL, tokens_free REAL NOT NULL, seen REAL NOT NULL, blocked REAL NOT NULL,
    held REAL NOT NULL, width REAL) STRICT;
CREATE TABLE breakers (
    scope TEXT NOT NULL, name TEXT NOT NULL, provider TEXT NOT NULL, failures INTEGER NOT NULL, kind TEXT NOT NULL,
    message TEXT NOT NULL, failed REAL NOT NULL, until REAL NOT NULL, cooldown REAL NOT NULL, probe TEXT NOT NULL,
    PRIMARY KEY (scope, name)) STRICT;
"""
# `nanos` is what a budget counts of an attempt, in billionths of a dollar.
_MONEY = """
CREATE TABLE reservations (key TEXT PRIMARY KEY, run TEXT NOT NULL, at REAL NOT NULL, nanos INTEGER NOT NULL) STRICT;
ALTER TABLE attempts ADD COLUMN run TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN job TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN nanos INTEGER;
UPDATE attempts SET
    run = coalesce((SELECT run FROM calls WHERE calls.key = attempts.key), ''),
    job = coalesce((SELECT job FROM calls WHERE calls.key = attempts.key), ''),
    nanos = round(json_extract(cost, '$.high') * 1e9);
CREATE INDEX attempts_of_run ON attempts (run, nanos);
CREATE INDEX attempts_by_end ON attempts (ended, nanos);
"""
# The sums that a budget asks for before each call: attempts are only ever added. A quarter is `spending.QUARTER` seconds.
_SUMS = """
CREATE TABLE spent_by_run (run TEXT PRIMARY KEY, nanos INTEGER NOT NULL) STRICT;
CREATE TABLE spent_by_quarter (quarter INTEGER PRIMARY KEY, nanos INTEGER NOT NULL) STRICT;
INSERT INTO spent_by_run SELECT run, sum(nanos) FROM attempts WHERE nanos IS NOT NULL GROUP BY run;
INSERT INTO spent_by_quarter
    SELECT CAST(ended AS INTEGER) / 900, sum(nanos) FROM attempts WHERE nanos IS NOT NULL GROUP BY 1;
CREATE TRIGGER attempt_spent AFTER INSERT ON attempts WHEN new.nanos > 0 BEGIN
    INSERT INTO spent_by_run VALUES (new.run, new.nanos)
        ON CONFLICT (run) DO UPDATE SET nanos = nanos + excluded.nanos;
    INSERT INTO spent_by_quarter VALUES (CAST(new.ended AS INTEGER) / 900, new.nanos)
        ON CONFLICT (quarter) DO UPDATE SET nanos = nanos + excluded.nanos;
END;
DROP INDEX attempts_of_run;
"""
# Each page that a write touches costs as much as all of its rows: so a reservation lies in its call's row, of events outside
# of runs (which nobody asks for) and of their sums there is none, and none is needed to number what is never deleted.
# `reservations` stays for a process of the version before, which may still be at work: it asks the table for each attempt that
# it records, also for a result that is paid for.
_PAGES = """
CREATE TABLE events_9 (
    seq INTEGER PRIMARY KEY, run TEXT NOT NULL, at REAL NOT NULL, type TEXT NOT NULL, job TEXT NOT NULL,
    body TEXT NOT NULL) STRICT;
INSERT INTO events_9 SELECT seq, run, at, type, job, body FROM events WHERE run <> '';
DROP TABLE events;
ALTER TABLE events_9 RENAME TO events;
CREATE INDEX events_of ON events (run, seq);
ALTER TABLE calls ADD COLUMN reserved INTEGER;
ALTER TABLE calls ADD COLUMN reserved_at REAL;
UPDATE calls SET (reserved, reserved_at) = (SELECT nanos, at FROM reservations WHERE reservations.key = calls.key)
    WHERE key IN (SELECT key FROM reservations);
DROP TRIGGER attempt_spent;
DELETE FROM spent_by_run WHERE run = '';
CREATE TRIGGER attempt_spent_by_run AFTER INSERT ON attempts WHEN new.nanos > 0 AND new.run <> '' BEGIN
    INSERT INTO spent_by_run VALUES (new.run, new.nanos)
        ON CONFLICT (run) DO UPDATE SET nanos = nanos + excluded.nanos;
END;
CREATE TRIGGER attempt_spent_by_quarter AFTER INSERT ON attempts WHEN new.nanos > 0 BEGIN
    INSERT INTO spent_by_quarter VALUES (CAST(new.ended AS INTEGER) / 900, new.nanos)
        ON CONFLICT (quarter) DO UPDATE SET nanos = nanos + excluded.nanos;
END;
"""
_STEPS = (_TABLES, _WAITS, _CHATS, _JOBS, _UPLOADS, _GATES, _MONEY, _SUMS, _PAGES)
"""What each version added."""
SCHEMA_VERSION = len(_STEPS)


def open_database(path: Path | None, busy_timeout: float) -> sqlite3.Connection:
    """Open the ledger's file, creating it if needed; None is a database in memory.

    `busy_timeout` is how many seconds to wait for another process. To be called in the thread which will use the
    connection. Raises ConfigError for a network file system, a file that is no ledger, or one of a newer version.
    """
    if sqlite3.sqlite_version_info < (3, 37):
        raise ConfigError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 is needed", missing=True)
    if path is None:
        db = _connect(":memory:", busy_timeout)
        _prepare(db, ":memory:")
        return db
    refuse_network(path)
    make_folder(path.parent)
    try:
        return _open_file(path, busy_timeout)
    except sqlite3.Error as error:
        raise explain(error, str(path), busy_timeout) from error


def _open_file(path: Path, busy_timeout: float) -> sqlite3.Connection:
    from filelock import FileLock, Timeout

    # The switch to WAL does not honour the busy timeout, so processes that open a new file do it one by one.
    try:
        with FileLock(path.with_name(path.name + ".lock"), timeout=busy_timeout):
            db = _connect(str(path), busy_timeout)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                _prepare(db, str(path))
            except BaseException:
                db.close()
                raise
            sync_folder(path.parent)
            return db
    except Timeout:
        raise CallsheetError(f"another process has been opening {path} for {busy_timeout:g} s: end it") from None
    except OSError as error:
        raise ConfigError(f"cannot open the ledger {path}: {error.strerror or error}") from error


def _connect(name: str, busy_timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(name, timeout=busy_timeout, isolation_level=None, cached_statements=256)


def _prepare(db: sqlite3.Connection, name: str) -> None:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"the ledger {name} was written by a newer callsheet (schema {version}, this one knows {SCHEMA_VERSION}): "
            "update callsheet"
        )
    if version == SCHEMA_VERSION:
        return
    if not version and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise ConfigError(f"{name} is a database, but not a callsheet ledger: move it away")
    tables = "".join(_STEPS[version:])
    db.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")


def close_database(db: sqlite3.Connection) -> None:
    """Bring the log into the file, as far as other processes allow it, and close."""
    try:
        db.execute("PRAGMA busy_timeout = 0")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        pass  # what was committed stands in the log, and the next one to open the file reads it there
    finally:
        db.close()


def explain(error: sqlite3.Error, name: str, busy_timeout: float) -> CallsheetError:
    """An error of SQLite in words that say what to do."""
    text = str(error)
    if "locked" in text:
        return CallsheetError(
            f"another process has kept the ledger {name} locked for {busy_timeout:g} s; nothing was written: "
            "end that process (a database browser, a backup?) and try again"
        )
    if "not a database" in text or "malformed" in text:
        return ConfigError(f"the ledger {name} is damaged or no ledger ({text}): bring it back from a backup")
    return CallsheetError(f"the ledger {name} could not be used: {text}; check free space and permissions")
