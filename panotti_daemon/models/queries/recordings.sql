-- name: insert_recording!
INSERT INTO recordings (id, content_id, title, folder, duration, incomplete, revision, revision_of, created_at)
VALUES (:id, :content_id, :title, :folder, :duration, :incomplete, :revision, :revision_of, :created_at);

-- name: relocate_recording!
UPDATE recordings SET title = :title, folder = :folder WHERE id = :id;

-- name: delete_tracks!
DELETE FROM tracks WHERE recording_id = :recording_id;

-- name: insert_tracks*!
INSERT INTO tracks (recording_id, position, path, label, content_hash, size, mtime_ns)
VALUES (:recording_id, :position, :path, :label, :content_hash, :size, :mtime_ns);

-- name: recording_by_id^
SELECT * FROM recordings WHERE id = :id;

-- name: recording_ids_like
SELECT id FROM recordings
WHERE substr(id, 1, length(:part)) = :part OR substr(id, -length(:part)) = :part
ORDER BY id <> :part LIMIT 2;

-- name: recording_by_content^
SELECT * FROM recordings WHERE content_id = :content_id;

-- name: tracks_of_recording
SELECT * FROM tracks WHERE recording_id = :recording_id ORDER BY position;

-- name: earlier_revisions
WITH RECURSIVE earlier (id) AS (
    SELECT revision_of FROM recordings WHERE id = :id
    UNION
    SELECT recordings.revision_of FROM recordings JOIN earlier USING (id)
)
SELECT id FROM earlier WHERE id IS NOT NULL;

-- name: recordings_without_files
-- Those whose content no file has any more, be it one that is out of reach.
SELECT id FROM recordings
WHERE id IN (SELECT value FROM json_each(:ids))
  AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.recording_id = recordings.id);

-- name: list_recordings
SELECT recordings.*, ledger.state, ledger.reason
FROM recordings
JOIN ledger ON ledger.path = (
    SELECT path FROM ledger AS file WHERE file.recording_id = recordings.id
    ORDER BY file.state = 'duplicate', file.present DESC, file.first_seen LIMIT 1
)
WHERE :state IS NULL OR ledger.state = :state
ORDER BY recordings.id DESC LIMIT :limit OFFSET :offset;

-- name: count_recordings$
SELECT count(*)
FROM recordings
JOIN ledger ON ledger.path = (
    SELECT path FROM ledger AS file WHERE file.recording_id = recordings.id
    ORDER BY file.state = 'duplicate', file.present DESC, file.first_seen LIMIT 1
)
WHERE :state IS NULL OR ledger.state = :state;

-- name: is_adopted_name$
-- Whether a transcript found on disk names this file, and no file with its content has been seen yet. Only the name of
-- a file is known from a transcript.
SELECT 1 FROM tracks
WHERE tracks.path = :name AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.recording_id = tracks.recording_id)
LIMIT 1;

-- name: next_recordings
-- In the order in which the subscriber takes them.
SELECT recordings.id AS recording_id, recordings.title
FROM deliveries JOIN recordings ON recordings.id = deliveries.correlation_id
WHERE deliveries.subscriber = :subscriber AND deliveries.state = 'queued'
ORDER BY deliveries.priority DESC, deliveries.id
LIMIT :limit;
