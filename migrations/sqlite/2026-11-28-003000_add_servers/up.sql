-- The running servers, and the master keys of each, because a rotation waits for all of them.
CREATE TABLE servers (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- The time at which the server wrote this, in microseconds since 1970 by the database's clock.
    seen BIGINT NOT NULL,
    -- The ids of the server's master keys, each after a space.
    keks TEXT NOT NULL
);
