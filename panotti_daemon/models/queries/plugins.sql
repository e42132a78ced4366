-- name: plugin_value$
SELECT value FROM plugin_state WHERE plugin = :plugin AND key = :key;

-- name: set_plugin_value!
INSERT INTO plugin_state (plugin, key, value) VALUES (:plugin, :key, :value)
ON CONFLICT DO UPDATE SET value = excluded.value;
