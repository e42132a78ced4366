from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random

import pytest

from panotti_daemon.errors import DatabaseConflict, DatabaseDamaged, DatabaseError, DatabaseTooNew
from panotti_daemon.models.database import Database, Transaction, queries, stamp
from tests.daemon import wait_until

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path, NOW)
    try:
        yield database
    finally:
        await database.close()


async def put(transaction: Transaction, key: str, value: str = "1") -> None:
    await queries().set_plugin_value(transaction.connection, plugin="test", key=key, value=value)


async def stored(database: Database) -> set[str]:
    async with database.reading() as connection:
        rows = await (await connection.execute("SELECT key FROM plugin_state")).fetchall()
    return {row[0] for row in rows}


def run(path: Path, scenario: Callable[[Database], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(path) as database:
            await scenario(database)

    asyncio.run(main())


def make(path: Path) -> None:
    """A database with one value, closed."""

    async def scenario(database: Database) -> None:
        async with database.transaction() as transaction:
            await put(transaction, "kept")

    run(path, scenario)


def test_an_empty_file_gets_the_schema(path: Path) -> None:
    async def scenario(database: Database) -> None:
        async with database.reading() as connection:
            rows = await (await connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")).fetchall()
        assert {"events", "deliveries", "ledger", "recordings", "plugin_state"} <= {row[0] for row in rows}

    run(path, scenario)


def test_what_was_stored_is_there_after_opening_again(path: Path) -> None:
    make(path)

    async def scenario(database: Database) -> None:
        assert await stored(database) == {"kept"}
        assert database.moved_aside is None

    run(path, scenario)


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 10000)]
)
def test_the_connection_is_set_up_to_lose_nothing(path: Path, pragma: str, value: str | int) -> None:
    async def scenario(database: Database) -> None:
        async with database.reading() as connection:
            row = await (await connection.execute(f"PRAGMA {pragma}")).fetchone()
        assert row is not None
        assert row[0] == value

    run(path, scenario)


@posix_only
@pytest.mark.parametrize("existing_mode", [None, 0o644])
def test_nobody_else_can_read_the_database_or_its_companions(path: Path, existing_mode: int | None) -> None:
    if existing_mode:
        path.touch()
        path.chmod(existing_mode)

    async def scenario(database: Database) -> None:
        async with database.transaction() as transaction:
            await put(transaction, "secret")
        files = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
        assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 3

    old = os.umask(0)
    try:
        run(path, scenario)
    finally:
        os.umask(old)


def test_an_error_takes_back_the_whole_transaction_and_leaves_no_lock(path: Path) -> None:
    async def scenario(database: Database) -> None:
        async def fail() -> None:
            async with database.transaction() as transaction:
                await put(transaction, "lost")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        async with database.transaction() as transaction:
            await put(transaction, "kept")
        assert await stored(database) == {"kept"}

    run(path, scenario)


def test_a_cancelled_coroutine_takes_back_its_own_transaction_and_no_other(path: Path) -> None:
    async def scenario(database: Database) -> None:
        inside = asyncio.Event()

        async def hang() -> None:
            async with database.transaction() as transaction:
                await put(transaction, "lost")
                inside.set()
                await asyncio.Event().wait()

        async def write(key: str) -> None:
            async with database.transaction() as transaction:
                await put(transaction, key)

        hanging = asyncio.create_task(hang())
        await inside.wait()
        writing = [asyncio.create_task(write(f"kept {number}")) for number in range(5)]
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        await asyncio.gather(*writing)
        assert await stored(database) == {f"kept {number}" for number in range(5)}

    run(path, scenario)


def test_wherever_a_cancellation_strikes_after_commit_follows_exactly_what_is_stored(path: Path) -> None:
    async def scenario(database: Database) -> None:
        told: set[str] = set()

        async def write(key: str) -> None:
            async with database.transaction() as transaction:
                transaction.after_commit(lambda: told.add(key))
                await put(transaction, key)

        finished = False
        steps = 0
        while not finished:
            task = asyncio.create_task(write(f"after {steps} steps"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            finished = not (await asyncio.gather(task, return_exceptions=True))[0]
            assert await stored(database) == told
            steps += 1

        # the same in the middle of what SQLite's thread does, where turns of the loop cannot be counted
        for when in ("BEGIN IMMEDIATE", "INSERT INTO plugin_state", "COMMIT"):
            async with database.reading() as connection:
                hit = asyncio.Event()
                loop = asyncio.get_running_loop()

                def trace(
                    statement: str,
                    when: str = when,
                    hit: asyncio.Event = hit,
                    loop: asyncio.AbstractEventLoop = loop,
                ) -> None:
                    if statement.startswith(when):
                        loop.call_soon_threadsafe(hit.set)

                await connection.set_trace_callback(trace)
            task = asyncio.create_task(write(when))
            await hit.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await stored(database) == told

    run(path, scenario)


def test_a_caller_cancelled_while_its_commit_is_under_way_is_stored_told_and_cancelled(path: Path) -> None:
    async def scenario(database: Database) -> None:
        told: list[str] = []
        loop = asyncio.get_running_loop()

        async def write() -> None:
            async with database.transaction() as transaction:
                transaction.after_commit(lambda: told.append("committed"))
                await put(transaction, "kept")

        task = asyncio.create_task(write())
        committing = asyncio.Event()
        resume = threading.Event()

        def trace(statement: str) -> None:
            if statement.startswith("COMMIT"):
                loop.call_soon_threadsafe(committing.set)
                resume.wait(10)

        async with database.reading() as connection:
            await connection.set_trace_callback(trace)
        await committing.wait()
        task.cancel()
        await asyncio.sleep(0)
        resume.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await stored(database) == {"kept"}
        assert told == ["committed"]

    run(path, scenario)


def test_after_commit_waits_for_the_commit(path: Path) -> None:
    async def scenario(database: Database) -> None:
        told: list[str] = []
        async with database.transaction() as transaction:
            transaction.after_commit(lambda: told.append("committed"))
            await put(transaction, "kept")
            assert told == []
        assert told == ["committed"]

    run(path, scenario)


def test_nothing_follows_a_transaction_that_was_taken_back(path: Path) -> None:
    async def scenario(database: Database) -> None:
        told: list[str] = []

        async def fail() -> None:
            async with database.transaction() as transaction:
                transaction.after_commit(lambda: told.append("committed"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert told == []

    run(path, scenario)


def test_two_transactions_never_overlap(path: Path) -> None:
    async def scenario(database: Database) -> None:
        inside = 0

        async def write(key: str) -> None:
            nonlocal inside
            async with database.transaction() as transaction:
                inside += 1
                assert inside == 1
                await put(transaction, key)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(write(str(number)) for number in range(20)))
        assert len(await stored(database)) == 20

    run(path, scenario)


def test_a_transaction_holds_the_write_lock_from_its_start(path: Path) -> None:
    async def scenario(database: Database) -> None:
        other = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            async with database.transaction():
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN IMMEDIATE")
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        finally:
            other.close()

    run(path, scenario)


def test_a_reader_sees_nothing_that_is_not_committed(path: Path) -> None:
    async def scenario(database: Database) -> None:
        async with database.transaction() as transaction:
            await put(transaction, "kept")
            reading = asyncio.create_task(stored(database))
            await asyncio.sleep(0)
            assert not reading.done()
        assert await reading == {"kept"}

    run(path, scenario)


def test_a_query_that_fails_is_an_error_of_ours_for_readers_and_writers(path: Path) -> None:
    async def scenario(database: Database) -> None:
        with pytest.raises(DatabaseError, match="no such table"):
            async with database.reading() as connection:
                await connection.execute("SELECT * FROM nowhere")
        with pytest.raises(DatabaseError, match="no such table"):
            async with database.transaction() as transaction:
                await transaction.connection.execute("DELETE FROM nowhere")

    run(path, scenario)


def test_a_broken_constraint_is_not_blamed_on_the_disk(path: Path) -> None:
    async def scenario(database: Database) -> None:
        async def store_twice() -> None:
            async with database.transaction() as transaction:
                for _ in range(2):
                    await transaction.connection.execute("INSERT INTO plugin_state VALUES ('a', 'b', 'c')")

        with pytest.raises(DatabaseConflict, match="UNIQUE"):
            await store_twice()
        assert await stored(database) == set()

    run(path, scenario)


def test_closing_leaves_no_thread(path: Path) -> None:
    before = set(threading.enumerate())

    async def scenario() -> None:
        async with opened(path):
            assert set(threading.enumerate()) > before
        wait_until(lambda: set(threading.enumerate()) == before, "the thread ends")

    asyncio.run(scenario())


def test_a_database_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    make(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(DatabaseTooNew, match="newer Panotti"):
        make(path)
    assert path.read_bytes() == content


def test_a_migration_that_fails_changes_nothing_and_does_not_cost_the_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (mine TEXT)")
    connection.close()
    with pytest.raises(DatabaseError, match="events already exists") as caught:
        make(path)
    assert not isinstance(caught.value, DatabaseDamaged)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("events",)]
    connection.close()


def overwrite_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(100))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def fill_with_text(path: Path) -> None:
    path.write_text("this is no database\n" * 1000)


def overwrite_the_middle_after_a_crash(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 2 * 4096))
    path.with_name(path.name + "-wal").write_bytes(b"\0")


@pytest.mark.parametrize(
    "damage", [overwrite_the_header, cut, fill_with_text, overwrite_the_middle_after_a_crash], ids=lambda f: f.__name__
)
def test_a_damaged_database_is_kept_aside_and_a_new_one_takes_its_place(
    path: Path, damage: Callable[[Path], None]
) -> None:
    make(path)
    damage(path)
    broken = path.read_bytes()

    async def scenario(database: Database) -> None:
        assert database.moved_aside == path.with_name("panotti-damaged-20260301T120000.db")
        assert database.moved_aside.read_bytes() == broken
        assert await stored(database) == set()

    run(path, scenario)
    make(path)


def test_the_last_transactions_of_a_damaged_database_are_kept_with_it(path: Path, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed.db"

    async def crash(database: Database) -> None:
        for key in ("early", "late"):
            async with database.transaction() as transaction:
                await put(transaction, key, f"the {key} transaction")
            if key == "early":
                async with database.reading() as connection:
                    await connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for suffix in ("", "-wal"):
            (tmp_path / f"crashed.db{suffix}").write_bytes(path.with_name(path.name + suffix).read_bytes())

    run(path, crash)
    assert b"the late transaction" not in crashed.read_bytes()
    overwrite_the_header(crashed)

    async def start_afresh(database: Database) -> None:
        assert database.moved_aside is not None
        kept = database.moved_aside.parent.glob(f"{database.moved_aside.name}*")
        assert any(b"the late transaction" in file.read_bytes() for file in kept)

    run(crashed, start_afresh)


def test_damage_that_is_met_in_use_is_dealt_with_at_the_next_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panotti_daemon.models.database.ALWAYS_CHECKED", 0)
    make(path)
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'plugin_state'").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    async def meet(database: Database) -> None:
        assert database.moved_aside is None
        with pytest.raises(DatabaseDamaged):
            await stored(database)

    async def start_afresh(database: Database) -> None:
        assert database.moved_aside is not None
        assert await stored(database) == set()

    run(path, meet)
    run(path, start_afresh)
    make(path)
    assert {file.name for file in path.parent.iterdir()} == {path.name, "panotti-damaged-20260301T120000.db"}


def test_transactions_that_were_committed_before_a_crash_are_there_after_it(path: Path, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        async with database.transaction() as transaction:
            await put(transaction, "kept")
        for suffix in ("", "-wal"):  # as a power cut would leave them
            (tmp_path / f"copy.db{suffix}").write_bytes(path.with_name(path.name + suffix).read_bytes())

    async def after(database: Database) -> None:
        assert database.moved_aside is None
        assert await stored(database) == {"kept"}

    run(path, scenario)
    run(tmp_path / "copy.db", after)


@posix_only
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_refuses_is_said_so(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(DatabaseError, match="Permission denied"):
            make(path)
    finally:
        path.parent.chmod(0o700)


def test_a_database_whose_folder_is_missing_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="No such file or directory"):
        make(tmp_path / "missing" / "panotti.db")


def test_times_are_kept_in_utc_so_that_they_sort_as_text() -> None:
    east = datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert stamp(east) == stamp(NOW) == "2026-03-01T12:00:00.000+00:00"


def test_after_a_scrub_nothing_of_what_was_deleted_is_left_in_the_files(path: Path) -> None:
    """In trees that grew and shrank, SQLite leaves second copies of what it deletes, whatever `secure_delete` says."""
    random = Random(3)
    said = [f"words of {number:03d} " for number in range(60)]
    rows = [text for text in said for _ in range(random.randint(1, 40))]
    random.shuffle(rows)

    async def scenario(database: Database) -> None:
        async with database.transaction() as transaction:
            for number, text in enumerate(rows):
                await put(transaction, f"{number}", text + "x" * random.choice([5, 80, 300, 6000]))
        for text in said[:30]:
            async with database.transaction() as transaction:
                await transaction.connection.execute("DELETE FROM plugin_state WHERE value GLOB ?", (f"{text}*",))
        await database.scrub()
        found = b"".join(file.read_bytes() for file in path.parent.iterdir())
        assert not [text for text in said[:30] if text.encode() in found]
        assert [text for text in said if text.encode() in found] == said[30:]

    run(path, scenario)


def test_databases_that_were_put_aside_are_known(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)

    async def scenario(database: Database) -> None:
        assert database.set_aside() == [database.moved_aside]

    run(path, scenario)
