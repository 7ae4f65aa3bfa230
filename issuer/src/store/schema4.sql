-- Break-glass statements that were handed in for hosts. exp: end of the time in which they may be used.
CREATE TABLE breakglass (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    exp INTEGER NOT NULL,
    n INTEGER NOT NULL REFERENCES log (n)
) STRICT, WITHOUT ROWID;
