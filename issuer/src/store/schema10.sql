-- First answers of calls that bore an Idempotency-Key, for a day. key: its hash; what: the hash of call and body; answer: sealed
-- with the key, which is not here.
CREATE TABLE answered (
    caller INTEGER NOT NULL,
    key TEXT NOT NULL,
    what TEXT NOT NULL,
    at INTEGER NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answered_at ON answered (at);
