"""How aiosql runs a query on aiosqlite: in one visit to SQLite's thread, for each visit costs more than most queries.

aiosql's own adapter makes three: to execute, to fetch, and to close.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from sqlite3 import Row
from typing import Any

from aiosqlite import Connection

Parameters = Mapping[str, Any]


class OneVisit:
    is_aio_driver = True

    def process_sql(self, _query_name: str, _operation: object, sql: str) -> str:
        return sql

    async def select(
        self, connection: Connection, _query_name: str, sql: str, parameters: Parameters, record_class: None = None
    ) -> AsyncIterator[Row]:
        for row in await connection.execute_fetchall(sql, parameters):
            yield row

    async def select_one(
        self, connection: Connection, _query_name: str, sql: str, parameters: Parameters, record_class: None = None
    ) -> Row | None:
        return next(iter(await connection.execute_fetchall(sql, parameters)), None)

    async def select_value(self, connection: Connection, _query_name: str, sql: str, parameters: Parameters) -> Any:
        row = await self.select_one(connection, _query_name, sql, parameters)
        return row[0] if row else None

    async def insert_update_delete(
        self, connection: Connection, _query_name: str, sql: str, parameters: Parameters
    ) -> int:
        return (await connection.execute(sql, parameters)).rowcount

    async def insert_update_delete_many(
        self, connection: Connection, _query_name: str, sql: str, parameters: Iterable[Parameters]
    ) -> None:
        await connection.executemany(sql, parameters)
