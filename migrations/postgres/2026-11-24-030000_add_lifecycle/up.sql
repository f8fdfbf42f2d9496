-- `source` is where a key is kept: in the folder of the keys, in a secret of the configuration, or sealed by
-- a hardware module, and then `sealed` is what the module opens. `wraps` counts the data keys that were
-- wrapped under it, rounded up.
ALTER TABLE keks ADD COLUMN source TEXT NOT NULL DEFAULT 'directory';
ALTER TABLE keks ADD COLUMN sealed BYTEA;
ALTER TABLE keks ADD COLUMN wraps BIGINT NOT NULL DEFAULT 0;

-- Keys that were retired and must not be taken up as new ones.
CREATE TABLE retired_keks (
    id TEXT NOT NULL PRIMARY KEY,
    retired BIGINT NOT NULL
);

-- A record that was revoked, or that expired and was swept, has `ended`, and neither a data key nor tokens
-- nor a key-encrypting key any more.
ALTER TABLE external_tokens ADD COLUMN last_used BIGINT;
ALTER TABLE external_tokens ADD COLUMN expires BIGINT;
ALTER TABLE external_tokens ADD COLUMN ended BIGINT;
-- A rotation goes from record to record; in SQLite every index has the id anyway.
CREATE INDEX external_tokens_by_kek ON external_tokens (kek_id, id);
CREATE INDEX external_tokens_by_owner ON external_tokens (tenant, owner, id);
CREATE INDEX external_tokens_by_expiry ON external_tokens (expires) WHERE ended IS NULL AND expires IS NOT NULL;
CREATE INDEX external_tokens_by_end ON external_tokens (ended) WHERE ended IS NOT NULL;

-- What a client's Idempotency-Key stands for. Neither it nor the retrieval key is here: `digest` is a hash of
-- the one, and under it the other is sealed; `fingerprint` is a MAC of what was saved, under it too.
CREATE TABLE idempotency_keys (
    digest BYTEA NOT NULL PRIMARY KEY,
    fingerprint BYTEA NOT NULL,
    sealed_key BYTEA NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires);

UPDATE keks SET wraps = (SELECT count(*) FROM external_tokens WHERE external_tokens.kek_id = keks.id);
