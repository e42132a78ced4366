-- name: ledger_entry^
SELECT * FROM ledger WHERE path = :path;

-- name: ledger_entries
SELECT * FROM ledger WHERE path IN (SELECT value FROM json_each(:paths));

-- name: ledger_of_folder
SELECT * FROM ledger WHERE folder = :folder;

-- name: see_files*!
-- Files that appeared or changed: nothing that was known of their content holds any more.
INSERT INTO ledger (path, folder, state, reason, size, mtime_ns, inode, backlog, first_seen, updated_at)
VALUES (:path, :folder, 'growing', :reason, :size, :mtime_ns, :inode, :backlog, :now, :now)
ON CONFLICT DO UPDATE SET folder = excluded.folder, state = 'growing', reason = excluded.reason,
    size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode, content_hash = NULL,
    transcript_id = NULL, duplicate_of = NULL, incomplete = 0, backlog = excluded.backlog, present = 1,
    updated_at = excluded.updated_at;

-- name: reopen_files*!
-- Files that are as they were, but whose recording has to be made out anew; one that is gone, once it is back.
UPDATE ledger SET state = iif(present, 'growing', 'cancelled'), reason = :reason, transcript_id = NULL,
    duplicate_of = NULL, updated_at = :now
WHERE path = :path;

-- name: set_file!
UPDATE ledger SET state = :state, reason = :reason, updated_at = :now WHERE path = :path;

-- name: set_settled*!
UPDATE ledger SET size = :size, mtime_ns = :mtime_ns, inode = :inode, incomplete = :incomplete, duration = :duration,
    content_hash = :content_hash, updated_at = :now
WHERE path = :path;

-- name: set_identified!
UPDATE ledger SET state = :state, reason = :reason, recording_id = :recording_id, transcript_id = :transcript_id,
    duplicate_of = :duplicate_of, updated_at = :now
WHERE path = :path;

-- name: set_presence*!
UPDATE ledger SET present = :present, updated_at = :now WHERE path = :path;

-- name: forget_files*!
DELETE FROM ledger WHERE path = :path;

-- name: set_urgent!
UPDATE ledger SET urgent = 1 WHERE path = :path;

-- name: undecided_urgent_files
-- What a person asked for and is not known yet.
SELECT * FROM ledger WHERE urgent = 1 AND transcript_id IS NULL AND state IN ('growing', 'waiting');

-- name: follow_transcript!
-- The files whose content this transcript is of; copies keep saying so, and a file that changed has left.
UPDATE ledger SET state = :state, reason = :reason, updated_at = :now
WHERE transcript_id = :transcript_id AND state NOT IN ('duplicate', 'growing', 'ignored');

-- name: sources_of_recording
-- Its files that are no copies.
SELECT * FROM ledger
WHERE recording_id = :recording_id AND transcript_id IS NOT NULL AND state NOT IN ('duplicate', 'growing', 'ignored')
ORDER BY path;

-- name: sources_of_contents
-- The same of all recordings that a file of such content belongs to.
SELECT * FROM ledger
WHERE transcript_id IS NOT NULL AND state NOT IN ('duplicate', 'growing', 'ignored') AND recording_id IN (
    SELECT recording_id FROM ledger WHERE content_hash IN (SELECT value FROM json_each(:hashes))
)
ORDER BY path;

-- name: sources_of_transcript
SELECT * FROM ledger
WHERE transcript_id = :transcript_id AND state NOT IN ('duplicate', 'growing', 'ignored') ORDER BY path;

-- name: files_of_pending_transcripts
SELECT ledger.* FROM ledger JOIN transcripts ON transcripts.id = ledger.transcript_id
WHERE transcripts.status = 'pending' ORDER BY ledger.transcript_id;

-- name: files_of_recording
SELECT * FROM ledger WHERE recording_id = :recording_id ORDER BY state = 'duplicate', path;

-- name: untold_copies
-- Those to which nothing is on its way that would give them this transcript's outputs.
SELECT * FROM ledger
WHERE transcript_id = :transcript_id AND state = 'duplicate' AND present = 1 AND NOT EXISTS (
    SELECT 1 FROM events JOIN deliveries ON deliveries.event_id = events.id
    WHERE events.correlation_id = :recording_id AND events.name = 'recording.known'
      AND iif(json_valid(events.data), json_extract(events.data, '$.path'), NULL) = ledger.path
      AND deliveries.state IN ('queued', 'running', 'waiting')
);

-- name: cancel_files!
-- Whatever of this recording is not finished; copies keep saying what they are.
UPDATE ledger SET state = 'cancelled', reason = :reason, updated_at = :now
WHERE recording_id = :recording_id AND state IN ('ready', 'transcribing', 'waiting');

-- name: ledger_page
SELECT * FROM ledger WHERE :state IS NULL OR state = :state ORDER BY updated_at DESC, path LIMIT :limit OFFSET :offset;

-- name: ledger_count$
SELECT count(*) FROM ledger WHERE :state IS NULL OR state = :state;

-- name: count_by_state
SELECT state, count(*) AS files FROM ledger GROUP BY state;

-- name: failed_files
SELECT * FROM ledger WHERE state = 'failed' ORDER BY updated_at DESC LIMIT :limit;

-- name: files_to_retry
-- What failed, or waits for something outside.
SELECT * FROM ledger WHERE state = 'failed' OR (state = 'waiting' AND transcript_id IS NOT NULL);

-- name: folder_by_path^
SELECT * FROM folders WHERE path = :path;

-- name: folders_ever_watched
SELECT path FROM folders;

-- name: insert_folder!
INSERT INTO folders (path, first_scanned_at, backlog) VALUES (:path, :now, :backlog);

-- name: set_backlog!
UPDATE folders SET backlog = :backlog WHERE path = :path;

-- name: backlog_files
-- Found by a first scan and not yet decided upon.
SELECT * FROM ledger WHERE folder = :folder AND backlog = 1 AND state = 'waiting' AND recording_id IS NULL
ORDER BY mtime_ns DESC;

-- name: backlog_summary
SELECT ledger.folder, count(*) AS files, coalesce(sum(ledger.duration), 0) AS audio_seconds
FROM ledger JOIN folders ON folders.path = ledger.folder
WHERE folders.backlog = 'asking' AND ledger.backlog = 1 AND ledger.state = 'waiting' AND ledger.recording_id IS NULL
GROUP BY ledger.folder;

-- name: ledger_between
-- The rows of one directory: every path that begins with it.
SELECT * FROM ledger WHERE path > :prefix AND path < :prefix_end;
