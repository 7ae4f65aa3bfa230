-- Keys of people that a revocation names: what others of that kind ended they did not.
CREATE TABLE person_key (
    kid TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
CREATE INDEX request_by_id ON request (id);

-- What hosts said of requests that people made elsewhere; the first word counts.
CREATE TABLE host_said (
    request TEXT PRIMARY KEY REFERENCES request (hash),
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    why TEXT NOT NULL
) STRICT, WITHOUT ROWID;
