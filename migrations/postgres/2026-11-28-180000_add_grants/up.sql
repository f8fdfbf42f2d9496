-- When the access token ends, if that is known.
ALTER TABLE external_tokens ADD COLUMN access_expires BIGINT;

-- The grant behind a record: whether its refresh token works, and who is using it now. There is a row once a
-- code was exchanged for it or a refresh was claimed. Times are by the database's clock. Nothing here is secret.
CREATE TABLE grants (
    record BIGINT NOT NULL PRIMARY KEY,
    -- A hash of the provider and of the client that the grant was given to.
    client_digest BYTEA NOT NULL,
    -- none, live, failing or dead.
    state TEXT NOT NULL,
    since BIGINT NOT NULL,
    -- Why the last refresh failed: a word of a fixed list.
    cause TEXT,
    failures INT4 NOT NULL,
    retry_at BIGINT,
    refreshed BIGINT,
    -- When the refresh token ends unless it is used before.
    refresh_by BIGINT,
    -- The number of the last attempt, which grows with each, and when it was claimed.
    attempt BIGINT NOT NULL,
    claimed BIGINT NOT NULL,
    -- When the first of the attempts began whose result is not known; NULL if each is known.
    first_sent BIGINT,
    -- Which attempt got the tokens that the record has now.
    won_by BIGINT,
    -- The server that makes the attempt, and until when no other one may.
    lease_by TEXT,
    lease_until BIGINT
);

-- Providers that no request is sent to for a while, such as after the client's secret was refused.
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

-- As long as there is a row, no request is sent to any provider.
CREATE TABLE grants_paused (
    reason TEXT NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL
);

-- Which database of which PostgreSQL cluster this was when it was last opened. One that is restored elsewhere brings
-- the row along, and so is found to be a copy. On SQLite there is no row.
CREATE TABLE database_identity (
    identity TEXT NOT NULL PRIMARY KEY
);
