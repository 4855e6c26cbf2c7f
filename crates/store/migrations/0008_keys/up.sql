-- The signing keys, and how old they are. A row never goes: a key that has ended stays as a name, so that a
-- copy of it somewhere never comes back into use. The private half is sealed, and gone once it has retired.

CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    state TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    since BIGINT NOT NULL,
    public TEXT NOT NULL,
    sealed TEXT
);

-- The lock around them: of several servers that find the same thing due, one does it.
CREATE TABLE signing_keys_version (
    id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

INSERT INTO signing_keys_version (id, version) VALUES (1, 0);
