-- `source` is the place of a key: the folder of the keys, a secret of the configuration, or a hardware module. A module
-- opens `sealed`, which is the key sealed by it. `wraps` counts the data keys that were wrapped under the key, rounded
-- up.
ALTER TABLE keks ADD COLUMN source TEXT NOT NULL DEFAULT 'directory';
ALTER TABLE keks ADD COLUMN sealed BYTEA;
ALTER TABLE keks ADD COLUMN wraps BIGINT NOT NULL DEFAULT 0;

-- Retired keys. They must not be taken up as new ones.
CREATE TABLE retired_keks (
    id TEXT NOT NULL PRIMARY KEY,
    retired BIGINT NOT NULL
);

-- A record that was revoked, or that expired and was swept, has `ended`. It has no data key, no tokens and no
-- key-encrypting key any more.
ALTER TABLE external_tokens ADD COLUMN last_used BIGINT;
ALTER TABLE external_tokens ADD COLUMN expires BIGINT;
ALTER TABLE external_tokens ADD COLUMN ended BIGINT;
-- A rotation goes from record to record. In SQLite every index contains the id.
CREATE INDEX external_tokens_by_kek ON external_tokens (kek_id, id);
CREATE INDEX external_tokens_by_owner ON external_tokens (tenant, owner, id);
CREATE INDEX external_tokens_by_expiry ON external_tokens (expires) WHERE ended IS NULL AND expires IS NOT NULL;
CREATE INDEX external_tokens_by_end ON external_tokens (ended) WHERE ended IS NOT NULL;

-- The result of a client's Idempotency-Key. Neither it nor the retrieval key is stored here: `digest` is a hash of the
-- Idempotency-Key, and the retrieval key is sealed under it. `fingerprint` is a MAC, also under it, of the saved data.
CREATE TABLE idempotency_keys (
    digest BYTEA NOT NULL PRIMARY KEY,
    fingerprint BYTEA NOT NULL,
    sealed_key BYTEA NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires);

UPDATE keks SET wraps = (SELECT count(*) FROM external_tokens WHERE external_tokens.kek_id = keks.id);
