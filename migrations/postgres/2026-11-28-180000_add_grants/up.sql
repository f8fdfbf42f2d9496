-- The expiry of the access token, if it is known.
ALTER TABLE external_tokens ADD COLUMN access_expires BIGINT;

-- The grant behind a record: whether its refresh token works, and which server is using it now. There is a row once a
-- code was exchanged for it or a refresh was claimed. Times are by the database's clock. Nothing here is secret.
CREATE TABLE grants (
    record BIGINT NOT NULL PRIMARY KEY,
    -- A hash of the provider and of the client that the grant was given to.
    client_digest BYTEA NOT NULL,
    -- none, live, failing or dead.
    state TEXT NOT NULL,
    since BIGINT NOT NULL,
    -- The cause of the last failure: a word of a fixed list.
    cause TEXT,
    failures INT4 NOT NULL,
    retry_at BIGINT,
    refreshed BIGINT,
    -- The expiry of the refresh token, unless it is used before.
    refresh_by BIGINT,
    -- The number of the last attempt, which grows with each, and the time of its claim.
    attempt BIGINT NOT NULL,
    claimed BIGINT NOT NULL,
    -- The start of the first attempt without a known result; NULL if all results are known.
    first_sent BIGINT,
    -- The attempt that got the current tokens of the record.
    won_by BIGINT,
    -- The server that makes the attempt, and the time until which no other server may make one.
    lease_by TEXT,
    lease_until BIGINT
);

-- Providers to which no request is sent for a while, for example after the client's secret was refused.
CREATE TABLE provider_states (
    client_digest BYTEA NOT NULL PRIMARY KEY,
    cause TEXT NOT NULL,
    since BIGINT NOT NULL,
    retry_at BIGINT NOT NULL
);

-- Authorization codes that were sent, by a hash of each: none is sent twice.
CREATE TABLE exchanges (
    digest BYTEA NOT NULL PRIMARY KEY,
    began BIGINT NOT NULL
);
CREATE INDEX exchanges_by_age ON exchanges (began);

-- While there is a row, no request is sent to any provider.
CREATE TABLE grants_paused (
    reason TEXT NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL
);

-- The database and the PostgreSQL cluster at the last opening. A database that is restored elsewhere keeps the row, and
-- is therefore recognised as a copy. On SQLite there is no row.
CREATE TABLE database_identity (
    identity TEXT NOT NULL PRIMARY KEY
);
