-- name: insert_events*!
INSERT INTO events (id, name, payload_version, data, correlation_id, cause_id, source_plugin, priority, created_at)
VALUES (:id, :name, :payload_version, :data, :correlation_id, :cause_id, :source_plugin, :priority, :created_at);

-- name: insert_deliveries*!
INSERT INTO deliveries (event_id, subscriber, correlation_id, state, priority, updated_at)
VALUES (:event_id, :subscriber, :correlation_id, 'queued', :priority, :now);

-- name: event_by_id^
SELECT * FROM events WHERE id = :id;

-- name: wake_waiting!
UPDATE deliveries SET state = 'queued', available_at = NULL
WHERE subscriber = :subscriber AND state = 'waiting' AND (available_at <= :now OR available_at > :latest);

-- name: claim_delivery^
-- The next one by priority and age of those with at least this priority, of a correlation in which nothing older is
-- still on its way.
UPDATE deliveries SET state = 'running', attempts = attempts + 1, updated_at = :now
WHERE id = (
    SELECT id FROM deliveries AS candidate
    WHERE subscriber = :subscriber AND state = 'queued' AND priority >= :priority AND NOT EXISTS (
        SELECT 1 FROM deliveries AS older
        WHERE older.subscriber = :subscriber AND older.correlation_id = candidate.correlation_id
          AND older.id < candidate.id AND older.state IN ('queued', 'running', 'waiting')
    )
    ORDER BY priority DESC, id
    LIMIT 1
)
RETURNING *;

-- name: claim_oldest_delivery^
-- As above, whatever its priority.
UPDATE deliveries SET state = 'running', attempts = attempts + 1, updated_at = :now
WHERE id = (
    SELECT id FROM deliveries AS candidate
    WHERE subscriber = :subscriber AND state = 'queued' AND NOT EXISTS (
        SELECT 1 FROM deliveries AS older
        WHERE older.subscriber = :subscriber AND older.correlation_id = candidate.correlation_id
          AND older.id < candidate.id AND older.state IN ('queued', 'running', 'waiting')
    )
    ORDER BY id
    LIMIT 1
)
RETURNING *;

-- name: is_claimable$
-- Whether there is one with at least this priority that `claim_delivery` would find.
SELECT 1 FROM deliveries AS candidate
WHERE subscriber = :subscriber AND state = 'queued' AND priority >= :priority AND NOT EXISTS (
    SELECT 1 FROM deliveries AS older
    WHERE older.subscriber = :subscriber AND older.correlation_id = candidate.correlation_id
      AND older.id < candidate.id AND older.state IN ('queued', 'running', 'waiting')
)
LIMIT 1;

-- name: next_available_at$
SELECT min(available_at) FROM deliveries WHERE subscriber = :subscriber AND state = 'waiting';

-- name: update_delivery!
UPDATE deliveries
SET state = :state, attempts = :attempts, waits = :waits, available_at = :available_at, error = :error,
    updated_at = :now
WHERE id = :id;

-- name: deliveries_in_state
SELECT * FROM deliveries WHERE state = :state ORDER BY id;

-- name: running_deliveries
SELECT * FROM deliveries INDEXED BY deliveries_unsettled
WHERE state = 'running' AND state <> 'done' ORDER BY id;

-- name: deliveries_of_correlation
SELECT deliveries.* FROM events JOIN deliveries ON deliveries.event_id = events.id
WHERE events.correlation_id = :correlation_id ORDER BY deliveries.id;

-- name: raise_priority!
UPDATE deliveries SET priority = :priority
WHERE correlation_id = :correlation_id AND state <> 'done' AND state IN ('queued', 'running', 'waiting')
  AND priority < :priority;

-- name: what_is_missing
-- Why deliveries wait for something outside, each reason once.
SELECT error, count(*) AS deliveries FROM deliveries
WHERE state = 'waiting' AND waits > 0 AND error IS NOT NULL
GROUP BY error ORDER BY deliveries DESC LIMIT :limit;
