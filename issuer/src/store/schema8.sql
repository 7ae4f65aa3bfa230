-- The newest head of each host's journal that was cosigned. trouble: JSON, what is wrong with what came since.
CREATE TABLE witnessed (
    host TEXT PRIMARY KEY REFERENCES host (id),
    kid TEXT NOT NULL,
    generation INTEGER NOT NULL,
    note TEXT NOT NULL,
    cosignature TEXT NOT NULL,
    grew_at INTEGER NOT NULL,
    trouble TEXT,
    accepts INTEGER NOT NULL CHECK (accepts IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Origins of logs that ended because an administrator accepted another one: none is cosigned again.
CREATE TABLE witnessed_before (
    origin TEXT PRIMARY KEY,
    host TEXT NOT NULL
) STRICT, WITHOUT ROWID;
