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
    sentinel BLOB NOT NULL,
    created BIGINT NOT NULL
);

-- INTEGER PRIMARY KEY is the row's own number, so rows are appended as ids grow.
CREATE TABLE external_tokens (
    id INTEGER NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    provider TEXT NOT NULL,
    generation INTEGER NOT NULL,
    key_digest BLOB NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BLOB NOT NULL,
    sealed BLOB NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
