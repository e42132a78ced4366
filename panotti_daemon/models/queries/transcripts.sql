-- name: insert_transcript!
INSERT INTO transcripts (id, recording_id, settings, status, created_at)
VALUES (:id, :recording_id, :settings, 'pending', :now)
ON CONFLICT (recording_id, settings) DO NOTHING;

-- name: transcript_by_settings^
SELECT * FROM transcripts WHERE recording_id = :recording_id AND settings = :settings;

-- name: transcript_by_id^
SELECT transcripts.*, recordings.content_id, recordings.title
FROM transcripts JOIN recordings ON recordings.id = transcripts.recording_id
WHERE transcripts.id = :id;

-- name: transcripts_of_recording
SELECT transcripts.*, recordings.content_id, recordings.title
FROM transcripts JOIN recordings ON recordings.id = transcripts.recording_id
WHERE transcripts.recording_id = :recording_id ORDER BY transcripts.status = 'pending', transcripts.id DESC;

-- name: finish_transcript!
UPDATE transcripts SET status = :status, created_at = :created_at, result = :result WHERE id = :id;

-- name: ask_anew!
-- What is made already is left as it is, and so is what would become a second of its kind.
UPDATE OR IGNORE transcripts SET settings = :settings WHERE id = :id AND status = 'pending' AND settings <> :settings;

-- name: delete_pending_transcripts!
DELETE FROM transcripts WHERE recording_id = :recording_id AND status = 'pending';

-- name: is_under_way$
-- Whether somebody is to make this transcript, now or later.
SELECT 1 FROM deliveries JOIN events ON events.id = deliveries.event_id
WHERE events.correlation_id = :recording_id AND deliveries.state IN ('queued', 'running', 'waiting')
  AND events.name = 'recording.ready'
  AND iif(json_valid(events.data), json_extract(events.data, '$.transcript_id'), NULL) = :transcript_id
LIMIT 1;

-- name: segments_of_transcript
SELECT * FROM segments WHERE transcript_id = :transcript_id ORDER BY position;

-- name: delete_segments!
DELETE FROM segments WHERE transcript_id = :transcript_id;

-- name: insert_segments*!
INSERT INTO segments
    (transcript_id, position, start, end, text, track, avg_logprob, no_speech_prob, compression_ratio, words, bleed)
VALUES
    (:transcript_id, :position, :start, :end, :text, :track, :avg_logprob, :no_speech_prob, :compression_ratio,
     :words, :bleed);

-- name: insert_checkpoint!
-- Nothing, where the transcript was withdrawn or is done.
INSERT INTO checkpoints (transcript_id, data)
SELECT id, :data FROM transcripts WHERE id = :transcript_id AND status = 'pending';

-- name: checkpoints_of_transcript
SELECT data FROM checkpoints WHERE transcript_id = :transcript_id ORDER BY id;

-- name: delete_given_up_checkpoints!
-- Of what failed or was cancelled, and of which there has been no news since.
DELETE FROM checkpoints WHERE transcript_id NOT IN (
    SELECT transcript_id FROM ledger
    WHERE transcript_id IS NOT NULL AND state <> 'duplicate'
      AND (state NOT IN ('failed', 'cancelled') OR updated_at >= :before)
);

-- name: delete_checkpoints!
DELETE FROM checkpoints WHERE transcript_id = :transcript_id;

-- name: recent_transcripts
SELECT transcripts.id, transcripts.recording_id, transcripts.created_at, recordings.title,
    (SELECT path FROM outputs WHERE outputs.transcript_id = transcripts.id ORDER BY format = 'txt' DESC LIMIT 1) AS path
FROM transcripts
JOIN recordings ON recordings.id = transcripts.recording_id
WHERE transcripts.status = 'done'
ORDER BY transcripts.created_at DESC LIMIT :limit;

-- name: transcripts_since$
SELECT count(*) FROM transcripts WHERE status <> 'pending' AND created_at >= :moment;
