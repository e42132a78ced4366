"""`python -m panotti_daemon` and the command `panotti`."""

from __future__ import annotations

import io
import os
import sys

INTERRUPTED = 130


def main() -> None:
    if sys.stdout is None:  # without a console, as pythonw is at a login
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    elif isinstance(sys.stdout, io.TextIOWrapper):  # where it is no terminal, Windows may not know a name's letters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if sys.argv[1:] == ["tray"]:
            sys.exit(_tray())
        from panotti_daemon.cli.main import run

        run()
    except KeyboardInterrupt:  # while it starts: typer sees to the commands themselves
        sys.exit(INTERRUPTED)


def _tray() -> int:
    """As the command does it, without the libraries of the command line: they would stay in memory all day."""
    from panotti_daemon.desktop import tray
    from panotti_daemon.paths import Paths

    return tray.main(Paths.from_environment())


if __name__ == "__main__":
    main()
