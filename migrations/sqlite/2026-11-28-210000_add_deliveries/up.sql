-- The current conditions of this grant that receivers of webhooks were notified of, as a sum: 1 refreshes fail, 2 the
-- grant is dead, 4 its refresh token expires soon.
ALTER TABLE grants ADD COLUMN reported INTEGER NOT NULL DEFAULT 0;
CREATE INDEX grants_to_report ON grants (since) WHERE state = 'failing' AND (reported & 3) = 0;
CREATE INDEX dead_grants_to_report ON grants (since) WHERE state = 'dead' AND (reported & 2) = 0;
CREATE INDEX grants_to_warn_of ON grants (refresh_by) WHERE (reported & 4) = 0;

-- Events that wait for a receiver of webhooks: a row for each event and receiver, which is removed once the receiver
-- has confirmed it. Nothing here is secret.
CREATE TABLE deliveries (
    -- The receiver, by its name in the configuration.
    receiver TEXT NOT NULL,
    -- The subject of the event: the id of a record, or a hash of a provider's client. A receiver gets the events about
    -- one subject in the order of their positions.
    subject TEXT NOT NULL,
    position BIGINT NOT NULL,
    -- The event's id, which is the same at every receiver and at every attempt.
    event TEXT NOT NULL,
    kind TEXT NOT NULL,
    tenant TEXT,
    owner TEXT,
    provider TEXT NOT NULL,
    cause TEXT,
    refresh_by BIGINT,
    occurred BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    -- The time from which the event may be sent. While a server sends it, this is the time from which another one may.
    due BIGINT NOT NULL,
    PRIMARY KEY (receiver, subject, position)
);
CREATE INDEX deliveries_by_due ON deliveries (receiver, due);
CREATE INDEX deliveries_by_age ON deliveries (occurred);
