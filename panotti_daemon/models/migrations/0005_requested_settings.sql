-- What was asked of the engine tells transcripts of one recording apart: JSON of what is not as by default. It is
-- written by one program alone, always in the same order, so that it can be compared as text.

CREATE TABLE requested_transcripts (
    id           TEXT PRIMARY KEY,
    recording_id TEXT NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    settings     TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('pending', 'done', 'no_speech')),
    created_at   TEXT NOT NULL,
    result       TEXT,
    UNIQUE (recording_id, settings)
) STRICT;
INSERT INTO requested_transcripts
SELECT id, recording_id,
    json_patch('{}', json_object('language', nullif(language_setting, 'auto'), 'model', nullif(model_setting, 'auto'))),
    status, created_at, result
FROM transcripts;
DROP TABLE transcripts;
ALTER TABLE requested_transcripts RENAME TO transcripts;

ALTER TABLE segments ADD COLUMN words TEXT NOT NULL DEFAULT '[]';
ALTER TABLE segments ADD COLUMN bleed INTEGER NOT NULL DEFAULT 0;

-- Windows that were decoded of a pending transcript.
CREATE TABLE checkpoints (
    id            INTEGER PRIMARY KEY,
    transcript_id TEXT NOT NULL REFERENCES transcripts (id) ON DELETE CASCADE,
    data          TEXT NOT NULL
) STRICT;
CREATE INDEX checkpoints_by_transcript ON checkpoints (transcript_id);
