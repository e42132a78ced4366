-- name: matching_events
-- By time, the newest first: what a person may ask for, all of it in one index but for the deliveries.
SELECT sequence FROM events
WHERE created_at >= ifnull(:since, '') AND created_at < ifnull(:until, '~')
  AND (:name IS NULL OR name GLOB :name)
  AND (:correlation_id IS NULL OR correlation_id = :correlation_id)
  AND (:event_id IS NULL OR sequence = (SELECT sequence FROM events WHERE id = :event_id))
  AND (:before IS NULL OR (created_at, sequence) < (SELECT created_at, sequence FROM events WHERE id = :before))
  AND (:subscriber IS NULL AND :state IS NULL OR EXISTS (
    SELECT 1 FROM deliveries
    WHERE event_id = events.id AND subscriber = ifnull(:subscriber, subscriber) AND state = ifnull(:state, state)
  ))
ORDER BY created_at DESC, sequence DESC LIMIT :limit;

-- name: events_in
SELECT * FROM events WHERE sequence IN (SELECT value FROM json_each(:sequences));

-- name: deliveries_in
SELECT deliveries.* FROM events JOIN deliveries ON deliveries.event_id = events.id
WHERE events.sequence IN (SELECT value FROM json_each(:sequences)) ORDER BY deliveries.id;

-- name: event_ids_like
SELECT id FROM events
WHERE substr(id, 1, length(:part)) = :part OR substr(id, -length(:part)) = :part
ORDER BY id <> :part LIMIT 2;

-- name: correlation_ids_like
SELECT DISTINCT correlation_id FROM events
WHERE substr(correlation_id, 1, length(:part)) = :part OR substr(correlation_id, -length(:part)) = :part
ORDER BY correlation_id <> :part LIMIT 2;

-- name: dead_deliveries
SELECT deliveries.* FROM deliveries INDEXED BY deliveries_unsettled JOIN events ON events.id = deliveries.event_id
WHERE deliveries.state = 'dead' AND deliveries.state <> 'done'
  AND (:subscriber IS NULL OR deliveries.subscriber = :subscriber)
  AND (:event_id IS NULL OR deliveries.event_id = :event_id)
  AND (:correlation_id IS NULL OR events.correlation_id = :correlation_id)
  AND (:name IS NULL OR events.name GLOB :name)
  AND (:ids IS NULL OR deliveries.id IN (SELECT value FROM json_each(:ids)))
ORDER BY deliveries.id DESC LIMIT :limit;

-- name: deliver_again^
-- With an id of its own: behind what is on its way in its correlation.
INSERT OR REPLACE INTO deliveries (event_id, subscriber, correlation_id, state, priority, updated_at)
VALUES (:event_id, :subscriber, :correlation_id, 'queued', :priority, :now)
RETURNING *;

-- name: nth_newest_moment$
SELECT created_at FROM events ORDER BY created_at DESC, sequence DESC LIMIT 1 OFFSET :n;

-- name: old_events
SELECT sequence, created_at FROM events
WHERE created_at < :before AND (created_at, sequence) > (:after, :sequence)
ORDER BY created_at, sequence LIMIT :limit;

-- name: delete_settled_events!
-- A correlation goes on until nothing in it is to be delivered any more, or dead; so long it is kept whole.
DELETE FROM events
WHERE sequence IN (SELECT value FROM json_each(:sequences)) AND NOT EXISTS (
    SELECT 1 FROM deliveries WHERE deliveries.correlation_id = events.correlation_id AND deliveries.state <> 'done'
);
