-- name: family_of_recording
-- It with every recording that it took the place of, or that took its place.
WITH RECURSIVE family (id) AS (
    SELECT id FROM recordings WHERE id = :recording_id
    UNION
    SELECT relative.id FROM family
    JOIN recordings AS member ON member.id = family.id
    JOIN recordings AS relative ON relative.revision_of = member.id OR relative.id = member.revision_of
)
SELECT id FROM recordings WHERE id IN (SELECT id FROM family) ORDER BY revision, id;

-- name: what_is_known^
SELECT
    (SELECT count(*) FROM transcripts WHERE recording_id IN (SELECT value FROM json_each(:ids))) AS transcripts,
    (SELECT count(*) FROM segments JOIN transcripts ON transcripts.id = segments.transcript_id
     WHERE recording_id IN (SELECT value FROM json_each(:ids))) AS segments,
    (SELECT count(*) FROM events WHERE correlation_id IN (SELECT value FROM json_each(:ids))) AS events;

-- name: files_of_recordings
SELECT * FROM ledger WHERE recording_id IN (SELECT value FROM json_each(:ids)) ORDER BY path;

-- name: outputs_of_recordings
SELECT outputs.path, outputs.digest, transcripts.recording_id
FROM outputs JOIN transcripts ON transcripts.id = outputs.transcript_id
WHERE transcripts.recording_id IN (SELECT value FROM json_each(:ids)) ORDER BY outputs.path;

-- name: recording_of_output$
SELECT transcripts.recording_id
FROM outputs JOIN transcripts ON transcripts.id = outputs.transcript_id
WHERE outputs.path = :path ORDER BY outputs.written_at DESC LIMIT 1;

-- name: work_under_way$
SELECT 1 FROM deliveries
WHERE correlation_id IN (SELECT value FROM json_each(:ids)) AND state IN ('queued', 'running', 'waiting') LIMIT 1;

-- name: who_is_to_forget
SELECT DISTINCT subscriber FROM deliveries
WHERE correlation_id IN (SELECT value FROM json_each(:ids)) AND state <> 'done' ORDER BY subscriber;

-- name: part_files_from_recordings!
-- Also those that changed since, and are looked at for what they hold now: they have no past any more.
UPDATE ledger SET recording_id = NULL, transcript_id = NULL, duplicate_of = NULL
WHERE recording_id IN (SELECT value FROM json_each(:ids));

-- name: forget_content_of_files*!
UPDATE ledger SET state = 'forgotten', reason = :reason, content_hash = NULL, duration = NULL, incomplete = 0,
    recording_id = NULL, transcript_id = NULL, duplicate_of = NULL, backlog = 0, urgent = 0, updated_at = :now
WHERE path = :path;

-- name: delete_events!
DELETE FROM events WHERE correlation_id = :correlation_id;

-- name: bridge_revisions!
-- What took the place of this recording took that of the one before it.
UPDATE recordings SET revision_of = (SELECT revision_of FROM recordings WHERE id = :recording_id)
WHERE revision_of = :recording_id;

-- name: delete_recording!
-- With its tracks, transcripts, segments and what is known of its outputs.
DELETE FROM recordings WHERE id = :recording_id;
