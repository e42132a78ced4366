-- name: plugin_value$
SELECT value FROM plugin_state WHERE plugin = :plugin AND key = :key;

-- name: set_plugin_value!
INSERT INTO plugin_state (plugin, key, value) VALUES (:plugin, :key, :value)
ON CONFLICT DO UPDATE SET value = excluded.value;

-- name: delete_plugin_value!
DELETE FROM plugin_state WHERE plugin = :plugin AND key = :key;

-- name: plugin_values
SELECT key, value FROM plugin_state
WHERE plugin = :plugin AND substr(key, 1, length(:prefix)) = :prefix ORDER BY key;

-- name: count_waiting_for$
SELECT count(*) FROM deliveries WHERE subscriber = :plugin AND state IN ('queued', 'waiting');

-- name: count_dead_of$
SELECT count(*) FROM deliveries WHERE subscriber = :plugin AND state = 'dead';
