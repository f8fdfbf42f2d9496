-- The servers that are running, and the master keys that each of them has: a rotation waits for all of them.
CREATE TABLE servers (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- When the server wrote this, in microseconds since 1970 by the database's clock.
    seen BIGINT NOT NULL,
    -- The ids of the master keys that it has, each behind a space.
    keks TEXT NOT NULL
);
