"""The one SQLite database, its one connection and the lock around each transaction.

One connection, because SQLite up to 3.51.2 can corrupt a WAL that two of them write; one lock, because on a shared
connection one coroutine's rollback would take back another's insert.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

import aiosql
import aiosqlite
import structlog

from panotti_daemon.errors import DatabaseConflict, DatabaseDamaged, DatabaseError, DatabaseTooNew
from panotti_daemon.models.adapter import OneVisit

log = structlog.get_logger(__name__)

HERE = Path(__file__).parent

ALWAYS_CHECKED = 32 * 2**20
"""Bytes of a database that is checked at every start: some tenths of a second at worst."""


def stamp(moment: datetime) -> str:
    """A time as the database keeps it: in UTC, so that times sort as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


@cache
def queries() -> Any:
    """The named queries of `queries/*.sql`."""
    adapter: Any = OneVisit  # it has what our kinds of queries need
    return aiosql.from_path(HERE / "queries", adapter, mandatory_parameters=False)


class Transaction:
    """What happens in it is stored as a whole or not at all; `after_commit` calls follow only once it is stored."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self._after_commit: list[Callable[[], None]] = []

    def after_commit(self, call: Callable[[], None]) -> None:
        self._after_commit.append(call)

    def committed(self) -> None:
        for call in self._after_commit:
            call()


class Database:
    def __init__(self, connection: aiosqlite.Connection, path: Path, *, moved_aside: Path | None) -> None:
        self._connection = connection
        self._path = path
        self._lock = asyncio.Lock()
        self.moved_aside = moved_aside
        """Where a damaged database was put, if this one replaces it."""

    @classmethod
    async def open(cls, path: Path, now: datetime) -> Self:
        """Opens and migrates the database; a damaged one is moved aside and a new one made in its place.

        Raises DatabaseTooNew, and DatabaseError for a disk that refuses.
        """
        moved: Path | None = None
        try:
            connection = await _connect(path)
        except DatabaseDamaged as error:
            moved = _move_aside(path, now)
            log.error("database damaged", kept_as=str(moved), reason=error.message)
            connection = await _connect(path)
        return cls(connection, path, moved_aside=moved)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A write transaction; it holds the write lock from its start, so a read in it cannot become stale.

        Raises DatabaseError for what the disk or the file refuses, and DatabaseConflict for what trying again cannot
        mend.
        """
        transaction = Transaction(self._connection)
        async with self._lock:
            with _translated(self._path):
                try:
                    await self._connection.execute("BEGIN IMMEDIATE")
                    yield transaction
                    cancellation = await to_its_end(self._connection.commit())
                except BaseException:
                    # also a cancelled caller must not leave the transaction open for whoever comes next
                    if cancellation := await to_its_end(self._connection.rollback()):
                        raise cancellation from None
                    raise
        transaction.committed()
        if cancellation:
            raise cancellation

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[aiosqlite.Connection]:
        """For reads alone: sees nothing that is not committed. Raises DatabaseError."""
        async with self._lock:
            with _translated(self._path):
                yield self._connection

    def set_aside(self) -> list[Path]:
        """The damaged databases that were put aside, now or ever before."""
        return sorted(self._path.parent.glob(f"{self._path.stem}-damaged-*{self._path.suffix}"))

    async def scrub(self) -> None:
        """Writes the file afresh, so that nothing of what was deleted is left in it or in its WAL. It takes about a
        second for 100 MB, in which everything else waits.

        SQLite's `secure_delete` is not enough: where it has rebalanced a tree, a page may keep a second copy.
        """
        async with self._lock:
            with _translated(self._path):
                cancellation = await to_its_end(_write_afresh(self._connection, self._path))
        if cancellation:
            raise cancellation

    async def close(self) -> None:
        async with self._lock:
            await self._connection.close()


async def to_its_end(work: Coroutine[Any, Any, None]) -> asyncio.CancelledError | None:
    """Finishes the work even if the caller is cancelled meanwhile, and returns the cancellation: SQLite's thread would
    go on with it anyway, and nobody would know how it ended."""
    task = asyncio.ensure_future(work)
    cancellation = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    task.result()
    return cancellation


async def _write_afresh(connection: aiosqlite.Connection, path: Path) -> None:
    await connection.execute("VACUUM")
    row = await (await connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")).fetchone()
    if row is None or row[0]:
        raise DatabaseError(f"Another program is reading {path}, and keeps what was deleted from being wiped out.")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise DatabaseConflict(str(error)) from error
    except sqlite3.Error as error:
        explained = _explained(error, path)
        if isinstance(explained, DatabaseDamaged):
            with suppress(OSError):
                _suspicion(path).touch()
        raise explained from error


def _explained(error: sqlite3.Error, path: Path) -> DatabaseError:
    # errors of the Python module itself, such as wrong use, have no code
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DatabaseDamaged(f"{path} is damaged ({error}).")
    if code == sqlite3.SQLITE_FULL:
        return DatabaseError(f"The disk that holds {path} is full. Make room; Panotti then goes on by itself.")
    return DatabaseError(f"{path} cannot be used: {error}.")


def _suspicion(path: Path) -> Path:
    """Stands there once damage was met; the whole file is then checked at the next start."""
    return _beside(path, "-suspect")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _needs_check(path: Path) -> bool:
    """To read the whole file takes seconds where it is large and the disk is cold: a large one is checked only after a
    crash or a power cut. SQLite removes its WAL when it is closed, so one that is there tells of these."""
    wal = _beside(path, "-wal")
    is_small = path.exists() and path.stat().st_size <= ALWAYS_CHECKED
    return is_small or _suspicion(path).exists() or (wal.exists() and wal.stat().st_size > 0)


async def _connect(path: Path) -> aiosqlite.Connection:
    try:
        needs_check = _needs_check(path)
        path.touch(mode=0o600)  # noqa: ASYNC240 before SQLite would make it, and its WAL after it, readable for others
        path.chmod(0o600)  # noqa: ASYNC240 one that was copied here may be readable for others
    except OSError as error:
        raise DatabaseError(f"{path} cannot be used: {error.strerror}.") from error
    with _translated(path):
        connection = await aiosqlite.connect(path, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            # bytes that a bad disk turned into no text at all must not hold up whoever comes upon them
            connection.text_factory = partial(str, encoding="utf-8", errors="replace")
            for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL"):
                await connection.execute(f"PRAGMA {pragma}")
            # a table that is replaced would take its children with it
            await connection.execute("PRAGMA foreign_keys = OFF")
            await _migrate(connection, path)
            await connection.execute("PRAGMA foreign_keys = ON")
            if needs_check:
                await _check(connection, path)
        except BaseException:
            await connection.close()
            raise
    return connection


async def _check(connection: aiosqlite.Connection, path: Path) -> None:
    row = await (await connection.execute("PRAGMA quick_check(1)")).fetchone()
    if row is None or row[0] != "ok":
        raise DatabaseDamaged(f"{path} is damaged ({row and row[0]}).")
    _suspicion(path).unlink(missing_ok=True)


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    """Brings the schema up to date."""
    row = await (await connection.execute("PRAGMA user_version")).fetchone()
    version = int(row[0]) if row else 0
    migrations = sorted((HERE / "migrations").glob("*.sql"))
    if version > len(migrations):
        raise DatabaseTooNew(
            f"{path} was written by a newer Panotti (its schema is {version}, this one knows {len(migrations)}). "
            "Install that version again, or move the file away to start afresh."
        )
    for number, migration in enumerate(migrations[version:], start=version + 1):
        script = migration.read_text(encoding="utf-8")
        await connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def _move_aside(path: Path, now: datetime) -> Path:
    """The database with its WAL and shared memory, which may hold its last transactions."""
    kept = path.with_name(f"{path.stem}-damaged-{now:%Y%m%dT%H%M%S}{path.suffix}")
    for suffix in ("-wal", "-shm", ""):
        if _beside(path, suffix).exists():
            _beside(path, suffix).rename(_beside(kept, suffix))
    _suspicion(path).unlink(missing_ok=True)
    return kept
