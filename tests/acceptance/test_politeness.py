"""A daemon that leaves the computer to others, and what its user can say to that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from panotti_daemon.api.schemas import Activity
from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.watching import completions, memo, watch


def test_outside_of_its_hours_it_does_only_what_is_asked_for_now(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    begin, end = (datetime.now() + timedelta(hours=hours) for hours in (2, 3))
    settings = {"watch": [watch(drop, formats=["txt"])], "polite": {"hours": f"{begin:%H:%M}-{end:%H:%M}"}}
    with panotti(settings) as daemon:
        assert daemon.status().summary.startswith("Idle")
        waits, wanted = memo(drop / "waits.wav"), memo(drop / "wanted.wav", 1)
        daemon.wait_for(waits, FileState.READY)
        daemon.wait_for(wanted, FileState.READY)
        wait_until(lambda: daemon.status().activity is Activity.PAUSED)
        status = daemon.status()
        assert status.summary.startswith("Waiting until ")
        assert status.pause
        assert status.pause.reason == "hours"

        daemon.post("/ledger/now", {"path": str(wanted)})
        daemon.wait_for(wanted, FileState.DONE)
        assert daemon.explain(waits).state is FileState.READY

        assert daemon.command("resume").stdout == "Resumed.\n"
        assert daemon.status().pause is None
        daemon.wait_for(waits, FileState.DONE)
    assert completions(daemon) == ["wanted", "waits"]
