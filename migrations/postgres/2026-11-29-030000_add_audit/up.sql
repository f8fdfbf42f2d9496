-- The last line of each chain of the audit log that a server anchored here. A shorter file was cut.
CREATE TABLE audit_anchors (
    -- The random name of the chain.
    chain TEXT NOT NULL PRIMARY KEY,
    -- The sequence number of the line, and its MAC.
    sequence BIGINT NOT NULL,
    mac BYTEA NOT NULL,
    -- The master key whose audit key signed this row.
    kek_id TEXT NOT NULL,
    anchored BIGINT NOT NULL,
    signature BYTEA NOT NULL
);

-- The audit keys of retired master keys, each sealed under a master key in use, so that old lines can be verified.
CREATE TABLE audit_keys (
    kek_id TEXT NOT NULL PRIMARY KEY,
    sealed_by TEXT NOT NULL,
    sealed BYTEA NOT NULL
);
