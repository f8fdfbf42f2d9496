-- Times are microseconds since 1970-01-01 UTC.

CREATE TABLE users (
    tenant TEXT NOT NULL,
    login TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    is_administrator BOOLEAN NOT NULL,
    is_disabled BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (tenant, login)
);

-- A key-encrypting key is never stored here: `sentinel` is a known text sealed under it.
CREATE TABLE keks (
    id TEXT NOT NULL PRIMARY KEY,
    sentinel BYTEA NOT NULL,
    created BIGINT NOT NULL
);

CREATE TABLE external_tokens (
    id BIGINT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    provider TEXT NOT NULL,
    generation INT4 NOT NULL,
    key_digest BYTEA NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
