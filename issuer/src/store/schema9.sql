-- Events that hooks have not taken yet. line: of one line only the oldest is sent. next: Unix milliseconds before which it is not
-- tried; NULL: it waits for the one before it in its line. at: Unix seconds.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    hook TEXT NOT NULL,
    line TEXT NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    tries INTEGER NOT NULL,
    next INTEGER
) STRICT;
CREATE INDEX outbox_line ON outbox (hook, line, seq);
CREATE INDEX outbox_next ON outbox (hook, next) WHERE next IS NOT NULL;
