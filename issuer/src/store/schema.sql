-- Names of the counters: grant_seq, log, policy_ver, revocation, state_seq.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE host (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    jwk TEXT NOT NULL,
    kid TEXT NOT NULL UNIQUE,
    enrolled_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What streams are made from. host NULL: for every host. exp NULL: never out of date.
CREATE TABLE log (
    n INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    host TEXT,
    exp INTEGER,
    at INTEGER NOT NULL,
    blob TEXT NOT NULL
) STRICT;
CREATE INDEX log_by_host ON log (host, n);

CREATE TABLE request (
    hash TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    host TEXT NOT NULL,
    sub TEXT NOT NULL,
    at INTEGER NOT NULL,
    jws TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('accepted', 'denied')),
    detail TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE granted (
    jti TEXT PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    request TEXT NOT NULL UNIQUE REFERENCES request (hash),
    host TEXT NOT NULL,
    sub TEXT NOT NULL,
    exp INTEGER NOT NULL,
    n INTEGER NOT NULL UNIQUE REFERENCES log (n)
) STRICT, WITHOUT ROWID;
CREATE INDEX granted_by_sub ON granted (sub);
CREATE INDEX granted_by_host ON granted (host);

CREATE TABLE revocation (
    serial INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'sub', 'host')),
    target TEXT NOT NULL,
    by_uid INTEGER NOT NULL,
    n INTEGER NOT NULL UNIQUE REFERENCES log (n)
) STRICT;
CREATE INDEX revocation_by_target ON revocation (kind, target);

CREATE TABLE policy (
    ver INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    text TEXT NOT NULL,
    n INTEGER NOT NULL UNIQUE REFERENCES log (n)
) STRICT;
