-- The newest receipt of each host. at: by the issuer's clock.
CREATE TABLE receipt (
    host TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    rev_serial INTEGER NOT NULL,
    version TEXT NOT NULL,
    log_next INTEGER NOT NULL,
    log_chain TEXT NOT NULL
) STRICT, WITHOUT ROWID;
