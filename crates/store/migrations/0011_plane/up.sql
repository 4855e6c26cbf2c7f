-- The operators' plane: who is invited, and the second factors of people.

-- An invitation that was accepted or withdrawn is closed; of its code there is only a hash.
CREATE TABLE operator_invitations (
    id TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    closed_at BIGINT,
    doc TEXT NOT NULL
);

CREATE INDEX operator_invitations_by_end ON operator_invitations (expires_at);

-- The second factor of a person; its seed is sealed and stands nowhere else.
CREATE TABLE person_factors (
    person_id TEXT NOT NULL PRIMARY KEY,
    seed TEXT NOT NULL,
    last_step BIGINT NOT NULL,
    since BIGINT NOT NULL
);

-- A recovery code that was taken is a row that is gone.
CREATE TABLE person_recovery (
    person_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (person_id, hash)
);
