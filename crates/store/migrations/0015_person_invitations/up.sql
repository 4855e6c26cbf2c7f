-- Invitations to people: of the code there is only a hash, and one that was accepted or withdrawn is closed.

CREATE TABLE person_invitations (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    person_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    closed_at BIGINT,
    doc TEXT NOT NULL
);

CREATE INDEX person_invitations_by_end ON person_invitations (expires_at);
CREATE INDEX person_invitations_of ON person_invitations (person_id);
