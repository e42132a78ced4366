-- Times are ISO 8601 in UTC with milliseconds, so that they sort as text. JSON columns hold JSON text.

CREATE TABLE folders (
    path             TEXT PRIMARY KEY,
    first_scanned_at TEXT NOT NULL,
    backlog          TEXT NOT NULL CHECK (backlog IN ('none', 'asking', 'accepted', 'skipped'))
) STRICT;

CREATE TABLE recordings (
    id          TEXT PRIMARY KEY,
    content_id  TEXT NOT NULL UNIQUE,
    title       TEXT NOT NULL,
    folder      TEXT NOT NULL,
    duration    REAL,
    incomplete  INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    revision_of TEXT REFERENCES recordings (id),
    created_at  TEXT NOT NULL
) STRICT;

CREATE TABLE tracks (
    recording_id TEXT NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    path         TEXT NOT NULL,
    label        TEXT,
    content_hash TEXT NOT NULL,
    size         INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    PRIMARY KEY (recording_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE transcripts (
    id                   TEXT PRIMARY KEY,
    recording_id         TEXT NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    language_setting     TEXT NOT NULL,
    model_setting        TEXT NOT NULL,
    status               TEXT NOT NULL CHECK (status IN ('pending', 'done', 'no_speech')),
    created_at           TEXT NOT NULL,
    result               TEXT,
    UNIQUE (recording_id, language_setting, model_setting)
) STRICT;

CREATE TABLE segments (
    transcript_id     TEXT NOT NULL REFERENCES transcripts (id) ON DELETE CASCADE,
    position          INTEGER NOT NULL,
    start             REAL NOT NULL,
    end               REAL NOT NULL,
    text              TEXT NOT NULL,
    track             TEXT,
    avg_logprob       REAL NOT NULL,
    no_speech_prob    REAL NOT NULL,
    compression_ratio REAL NOT NULL,
    PRIMARY KEY (transcript_id, position)
) STRICT, WITHOUT ROWID;

-- What Panotti wrote, or is about to write: the digest tells its own unedited file from a user's. While a file is
-- being replaced, its path stands here twice.
CREATE TABLE outputs (
    path          TEXT NOT NULL,
    digest        TEXT NOT NULL,
    transcript_id TEXT NOT NULL REFERENCES transcripts (id) ON DELETE CASCADE,
    format        TEXT NOT NULL,
    folder        TEXT NOT NULL,
    written_at    TEXT NOT NULL,
    PRIMARY KEY (path, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX outputs_by_transcript ON outputs (transcript_id);

-- Made once, and never again: one that is missing later is a drive that is not connected.
CREATE TABLE output_roots (
    path    TEXT PRIMARY KEY,
    made_at TEXT NOT NULL
) STRICT;

CREATE TABLE ledger (
    path          TEXT PRIMARY KEY,
    folder        TEXT NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    size          INTEGER,
    mtime_ns      INTEGER,
    inode         INTEGER,
    content_hash  TEXT,
    duration      REAL,
    incomplete    INTEGER NOT NULL DEFAULT 0,
    recording_id  TEXT REFERENCES recordings (id),
    transcript_id TEXT REFERENCES transcripts (id),
    duplicate_of  TEXT,
    backlog       INTEGER NOT NULL DEFAULT 0,
    urgent        INTEGER NOT NULL DEFAULT 0,
    present       INTEGER NOT NULL DEFAULT 1,
    first_seen    TEXT NOT NULL,
    updated_at    TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_by_folder ON ledger (folder);
CREATE INDEX ledger_by_state ON ledger (state);
CREATE INDEX ledger_by_transcript ON ledger (transcript_id);
CREATE INDEX ledger_by_recording ON ledger (recording_id);

CREATE TABLE events (
    sequence        INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    payload_version INTEGER NOT NULL,
    data            TEXT NOT NULL,
    correlation_id  TEXT NOT NULL,
    cause_id        TEXT,
    source_plugin   TEXT,
    priority        INTEGER NOT NULL,
    created_at      TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_correlation ON events (correlation_id);

CREATE TABLE deliveries (
    id             INTEGER PRIMARY KEY,
    event_id       TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    subscriber     TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'waiting', 'dead')),
    priority       INTEGER NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0,
    waits          INTEGER NOT NULL DEFAULT 0,
    available_at   TEXT,
    error          TEXT,
    updated_at     TEXT NOT NULL,
    UNIQUE (event_id, subscriber)
) STRICT;
CREATE INDEX deliveries_to_claim ON deliveries (subscriber, state, priority DESC, id);
CREATE INDEX deliveries_in_flight ON deliveries (subscriber, correlation_id, id)
    WHERE state IN ('queued', 'running', 'waiting');

CREATE TABLE plugin_state (
    plugin TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (plugin, key)
) STRICT, WITHOUT ROWID;
