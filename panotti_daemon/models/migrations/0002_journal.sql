-- What keeps a long history cheap: nothing that is done is looked at, unless somebody asks for it.

CREATE INDEX events_by_time ON events (created_at, sequence, name, correlation_id);

DROP INDEX deliveries_to_claim;
CREATE INDEX deliveries_to_claim ON deliveries (subscriber, priority DESC, id) WHERE state = 'queued';
CREATE INDEX deliveries_waiting ON deliveries (subscriber, available_at) WHERE state = 'waiting';
CREATE INDEX deliveries_unsettled ON deliveries (correlation_id, state) WHERE state <> 'done';
