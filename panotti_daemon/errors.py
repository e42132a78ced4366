"""Every error that Panotti raises on purpose, in one hierarchy.

PanottiError
├── SettingsError          a setting cannot be used
├── AlreadyRunning         another daemon owns this home
├── NotRunning             no daemon answers for this home
├── RequestFailed          the daemon refused a request, or its answer made no sense
├── AutostartFailed        the desktop cannot be told to start Panotti, or not to
├── DatabaseError
│   ├── DatabaseTooNew     written by a newer Panotti
│   ├── DatabaseDamaged    SQLite cannot read it
│   └── DatabaseConflict   what was to be stored contradicts what is
├── PluginFailed           a plugin cannot be loaded or started
│   ├── ManifestError      its plugin.yaml is wrong
│   └── PluginRefused      it is not to be made, installed or removed
├── PlanOutdated           an output's place was taken meanwhile; plan again
├── EngineError            the engine failed at a job; another attempt may do better
│   └── EngineCrashed      its process died
├── PermanentError         trying again cannot help
│   ├── MediaError         the file is the reason: not media, no audio, damaged, unreadable
│   ├── ServerRefused      a server of `engine.remote` will not take the recording
│   └── PayloadMisfit      the stored data of an event is not what its name promises
└── Unavailable            something outside is missing for now; waiting costs no attempt
    ├── OutputUnavailable  the output folder or its drive
    ├── SourceUnavailable  the recording's own folder or drive
    ├── ModelUnavailable   no model to transcribe with
    │   └── ModelDamaged   its files are not what was published, or cannot be loaded
    └── ServerUnavailable  no server of `engine.remote`

`title` says what happened in a few words; `message` adds what the user can do. Errors of libraries are
translated once, where they enter.
"""

from __future__ import annotations


class PanottiError(Exception):
    """Something went wrong"""

    def __init__(self, message: str, *, title: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.title = title or (type(self).__doc__ or "").splitlines()[0]

    def __str__(self) -> str:
        return self.message


class SettingsError(PanottiError):
    """A setting cannot be used"""


class AlreadyRunning(PanottiError):
    """Panotti is already running"""


class NotRunning(PanottiError):
    """Panotti is not running"""


class RequestFailed(PanottiError):
    """Panotti cannot do that"""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class AutostartFailed(PanottiError):
    """What the desktop starts cannot be changed"""


class DatabaseError(PanottiError):
    """The database cannot be used"""


class DatabaseTooNew(DatabaseError):
    """The database was written by a newer Panotti"""


class DatabaseDamaged(DatabaseError):
    """The database is damaged"""


class DatabaseConflict(DatabaseError):
    """What was to be stored contradicts what is"""


class PluginFailed(PanottiError):
    """A plugin failed"""


class ManifestError(PluginFailed):
    """A plugin's manifest is wrong"""


class PluginRefused(PluginFailed):
    """Nothing was changed"""


class PlanOutdated(PanottiError):
    """A file was changed or made while its output was on the way"""


class EngineError(PanottiError):
    """The engine failed"""


class EngineCrashed(EngineError):
    """The engine crashed"""


class PermanentError(PanottiError):
    """This cannot succeed by trying again"""


class MediaError(PermanentError):
    """The file cannot be transcribed"""


class ServerRefused(PermanentError):
    """The server refused the recording"""


class PayloadMisfit(PermanentError):
    """The data of an event cannot be understood"""


class Unavailable(PanottiError):
    """Something that is needed is missing for now"""


class OutputUnavailable(Unavailable):
    """The output folder cannot be written"""


class SourceUnavailable(Unavailable):
    """The recording cannot be read now"""


class ModelUnavailable(Unavailable):
    """There is no model to transcribe with"""


class ModelDamaged(ModelUnavailable):
    """A model is damaged"""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ServerUnavailable(Unavailable):
    """No server can be asked now"""
