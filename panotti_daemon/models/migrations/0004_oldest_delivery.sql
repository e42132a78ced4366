-- Every few claims the oldest delivery has its turn, whatever its priority.

CREATE INDEX deliveries_by_age ON deliveries (subscriber, id) WHERE state = 'queued';
