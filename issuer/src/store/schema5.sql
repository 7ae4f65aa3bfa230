-- Revocations by key and by time. SQLite changes no constraint of a table: the same rows in a new one.
CREATE TABLE revocation_new (
    serial INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'sub', 'host', 'kid', 'issued_before')),
    target TEXT NOT NULL,
    by_uid INTEGER NOT NULL,
    n INTEGER NOT NULL UNIQUE REFERENCES log (n)
) STRICT;
INSERT INTO revocation_new SELECT serial, hash, kind, target, by_uid, n FROM revocation;
DROP TABLE revocation;
ALTER TABLE revocation_new RENAME TO revocation;
CREATE INDEX revocation_by_target ON revocation (kind, target);
