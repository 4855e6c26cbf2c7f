-- The keys that seal personal fields, wrapped by a key-encryption key that is not in here (docs/keys.md).

-- `kek` names the key that wraps. One key of each purpose is `current`, the older ones only open.
CREATE TABLE data_keys (
    id TEXT NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    wrapped TEXT NOT NULL,
    kek TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    state TEXT NOT NULL
);

-- Of servers that start together over new books, one makes the key and the others find it.
CREATE UNIQUE INDEX data_keys_current ON data_keys (purpose) WHERE state = 'current';

-- A keyed hash of the address, by which records of one address are found though the address is sealed.
ALTER TABLE audit ADD COLUMN address_mark TEXT;
