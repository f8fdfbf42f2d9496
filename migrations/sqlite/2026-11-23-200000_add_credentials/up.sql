-- Grows with every change of password or access.
ALTER TABLE users ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- Tickets, sessions and access tokens. The secret that completes one is never stored here: `digest` is a SHA-256 over
-- it. `parent` is the credential that an access token was made from, and `application` is the one that asked for it.
CREATE TABLE credentials (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    digest BLOB NOT NULL,
    tenant TEXT NOT NULL,
    login TEXT NOT NULL,
    user_version BIGINT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    parent TEXT,
    application TEXT
);
CREATE INDEX credentials_by_parent ON credentials (parent);
CREATE INDEX credentials_by_user ON credentials (tenant, login);
CREATE INDEX credentials_by_expiry ON credentials (expires);

-- Partner applications. `tenants` has the names of the tenants that an application is allowed for, separated by commas,
-- or `*` for all.
CREATE TABLE applications (
    name TEXT NOT NULL PRIMARY KEY,
    token_digest BLOB NOT NULL,
    tenants TEXT NOT NULL,
    is_disabled BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE UNIQUE INDEX applications_by_token ON applications (token_digest);
