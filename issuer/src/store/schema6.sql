-- Requests that people must approve, and what became of them. hash: of their bytes; levels: what the policy demanded.
CREATE TABLE waiting (
    hash TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    host TEXT NOT NULL,
    sub TEXT NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    jws TEXT NOT NULL,
    levels TEXT NOT NULL,
    waiting_for TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('open', 'approved', 'denied', 'withdrawn', 'expired')),
    detail TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_open ON waiting (until) WHERE standing = 'open';

-- sig: armoured, over the request's bytes, as hosts and auditors check it again.
CREATE TABLE approval (
    request TEXT NOT NULL REFERENCES waiting (hash),
    person TEXT NOT NULL,
    at INTEGER NOT NULL,
    sig TEXT NOT NULL,
    PRIMARY KEY (request, person)
) STRICT, WITHOUT ROWID;
