"""What can be wrong with an installation, looked at one by one: `examine` finds it, `bundle` packs it for a report.

folders.py   where recordings come from and transcripts go
engine.py    the models, and a real transcription
servers.py   those that recordings are sent to, if any
desktop.py   tray icon, notifications, start at login
machine.py   disk, port, clock, versions
"""

from panotti_daemon.doctor.examination import examine
from panotti_daemon.doctor.finding import Finding

__all__ = ["Finding", "examine"]
