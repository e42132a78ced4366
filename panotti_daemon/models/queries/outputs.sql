-- name: outputs_at
SELECT outputs.path, outputs.digest, transcripts.recording_id
FROM outputs JOIN transcripts ON transcripts.id = outputs.transcript_id
WHERE outputs.path IN (SELECT value FROM json_each(:paths));

-- name: outputs_of_transcript
SELECT * FROM outputs WHERE transcript_id = :transcript_id ORDER BY path;

-- name: outputs_of_recording
SELECT outputs.* FROM outputs JOIN transcripts ON transcripts.id = outputs.transcript_id
WHERE transcripts.recording_id = :recording_id ORDER BY outputs.path;

-- name: output_paths_below
SELECT path FROM outputs WHERE path >= :prefix AND path < :prefix_end;

-- name: output_by_path^
SELECT outputs.*, recordings.title FROM outputs
JOIN transcripts ON transcripts.id = outputs.transcript_id
JOIN recordings ON recordings.id = transcripts.recording_id
WHERE outputs.path = :path;

-- name: upsert_outputs*!
INSERT INTO outputs (path, digest, transcript_id, format, written_at)
VALUES (:path, :digest, :transcript_id, :format, :now)
ON CONFLICT DO UPDATE SET transcript_id = excluded.transcript_id, written_at = excluded.written_at;

-- name: forget_replaced_outputs*!
DELETE FROM outputs WHERE path = :path AND digest <> :digest;

-- name: output_root_is_made$
SELECT 1 FROM output_roots WHERE path = :path;

-- name: insert_output_root!
INSERT INTO output_roots (path, made_at) VALUES (:path, :now) ON CONFLICT DO NOTHING;
