-- Hosts elsewhere. gone_at: since then it gets nothing new.
ALTER TABLE host ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE host ADD COLUMN gone_at INTEGER;
CREATE INDEX host_by_name ON host (name);

-- hash: of the secret, which is nowhere. used_by: key of the host that took it.
CREATE TABLE enrol_token (
    hash TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    exp INTEGER NOT NULL,
    replaces INTEGER NOT NULL CHECK (replaces IN (0, 1)),
    used_by TEXT
) STRICT, WITHOUT ROWID;
