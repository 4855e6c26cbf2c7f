-- The audit log for those who look into it: search, personal fields that can be erased, signed checkpoints,
-- a signed cut where old rows were forgotten, and destinations outside. See docs/decisions/0013.

-- What opens the field's commitment (22 characters), or what is left of an erased one (43). Rows without
-- either are older than this and bound to the chain with the field itself.
ALTER TABLE audit ADD COLUMN address_seal TEXT;
ALTER TABLE audit ADD COLUMN detail_seal TEXT;

-- Few on purpose: every one is paid for by every issued token. Ids are in order of time, so their ends of
-- the indexes stay in memory. Everything else is searched in windows of numbers.
CREATE INDEX audit_by_subject ON audit (subject, seq) WHERE subject IS NOT NULL;
CREATE INDEX audit_by_sid ON audit (sid, seq) WHERE sid IS NOT NULL;
CREATE INDEX audit_by_jti ON audit (jti, seq) WHERE jti IS NOT NULL;

-- What stood at a number, signed by the server's feed key as a compact JWS.
CREATE TABLE audit_checkpoints (
    seq BIGINT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    statement TEXT NOT NULL
);

-- Where the log begins: everything up to this row was old enough to be forgotten.
CREATE TABLE audit_anchor (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    statement TEXT NOT NULL
);

INSERT INTO audit_anchor (id, seq, hash, at, statement) VALUES (1, 0, '', 0, '');

-- How far each destination outside has been told, and which server tells it.
CREATE TABLE audit_destinations (
    name TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    checkpoint_seq BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    holder TEXT NOT NULL,
    held_until_ms BIGINT NOT NULL,
    trouble TEXT
);

-- What a destination would not take, by the numbers of its rows.
CREATE TABLE audit_dead_letters (
    destination TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    trouble TEXT NOT NULL,
    again BOOLEAN NOT NULL,
    PRIMARY KEY (destination, first_seq)
);
