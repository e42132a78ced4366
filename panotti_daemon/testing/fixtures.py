"""Fixtures for pytest; a test's module or its conftest brings them in:

    pytest_plugins = ["panotti_daemon.testing.fixtures"]

An asynchronous test that takes `hosted` needs nothing else to run; others are left to whoever runs them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.testing.hosting import Hosting, PluginHost, host
from panotti_daemon.testing.services import Services


@pytest.fixture
def hosted(request: pytest.FixtureRequest) -> Hosting:
    """`async with hosted(config={...}) as plugin:` hosts the plugin that the test stands beside."""

    def hosting(
        folder: Path | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        state: Mapping[str, Any] | None = None,
        services: Services | None = None,
    ) -> AbstractAsyncContextManager[PluginHost]:
        return host(folder or request.path.parent, config=config, secrets=secrets, state=state, services=services)

    return hosting


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    if "hosted" not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True
