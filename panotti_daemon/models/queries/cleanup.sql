-- name: finished_files
-- What stands in its folder and is transcribed, the oldest transcript first; copies are not among them.
SELECT ledger.path, ledger.folder, ledger.size, ledger.mtime_ns, ledger.content_hash, ledger.recording_id,
    ledger.transcript_id, ledger.reason, ledger.updated_at AS changed_at, transcripts.created_at AS finished_at,
    recordings.title, ledger.incomplete, ledger.state = 'no speech' AS no_speech
FROM ledger
JOIN transcripts ON transcripts.id = ledger.transcript_id
JOIN recordings ON recordings.id = ledger.recording_id
WHERE ledger.present = 1 AND ledger.state IN ('done', 'no speech') AND ledger.content_hash IS NOT NULL
ORDER BY transcripts.created_at, ledger.path;

-- name: sizes_of_files
SELECT path, size FROM ledger WHERE present = 1 AND state <> 'archived' AND size IS NOT NULL;

-- name: archive_file!
-- Before the file appears there, so that it is never taken for one that is new.
INSERT INTO ledger (path, folder, state, reason, size, mtime_ns, recording_id, first_seen, updated_at)
VALUES (:path, :folder, 'archived', :reason, :size, :mtime_ns, :recording_id, :now, :now)
ON CONFLICT DO UPDATE SET folder = excluded.folder, state = 'archived', reason = excluded.reason,
    size = excluded.size, mtime_ns = excluded.mtime_ns, inode = NULL, content_hash = NULL,
    recording_id = excluded.recording_id, transcript_id = NULL, duplicate_of = NULL, backlog = 0, present = 1,
    updated_at = excluded.updated_at;

-- name: note_file!
-- Unless another file has come to its place meanwhile.
UPDATE ledger SET reason = :reason, present = :present, updated_at = :now
WHERE path = :path AND content_hash = :content_hash;
