"""`python -m panotti_daemon` and the command `panotti`."""

from __future__ import annotations


def main() -> None:
    from panotti_daemon.cli.main import run

    run()


if __name__ == "__main__":
    main()
