"""For the tests of plugins: hosts one on a real bus, with services that live in memory and a clock that stands still.

`panotti_daemon.testing.fixtures` makes fixtures of it for pytest.
"""

from panotti_daemon.testing.clock import StoppedClock
from panotti_daemon.testing.events import NOW, RECORDING, event_for, transcription
from panotti_daemon.testing.hosting import Hosting, PluginHost, host
from panotti_daemon.testing.services import Services

__all__ = [
    "NOW",
    "RECORDING",
    "Hosting",
    "PluginHost",
    "Services",
    "StoppedClock",
    "event_for",
    "host",
    "transcription",
]
