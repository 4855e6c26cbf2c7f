-- Operators: the accounts at the listener of their own, which belong to no organization.

CREATE TABLE operators (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    seed TEXT NOT NULL,
    last_step BIGINT NOT NULL,
    doc TEXT NOT NULL
);

-- A recovery code that was taken is a row that is gone.
CREATE TABLE operator_recovery (
    operator_id TEXT NOT NULL REFERENCES operators (id),
    hash TEXT NOT NULL,
    PRIMARY KEY (operator_id, hash)
);

CREATE TABLE operator_sessions (
    hash TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    operator_id TEXT NOT NULL REFERENCES operators (id),
    last_used BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    doc TEXT NOT NULL
);

CREATE INDEX operator_sessions_by_end ON operator_sessions (expires_at);

-- The lock around the list: two changes that were decided on the same one can never both be done.
CREATE TABLE staff_version (
    id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

INSERT INTO staff_version (id, version) VALUES (1, 0);
