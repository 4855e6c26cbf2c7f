-- People, as operators look at them: their logins and sessions wherever those are, and where they came from.
CREATE INDEX families_by_person ON families (owner_id);
CREATE INDEX sessions_by_person ON sessions (person_id);
CREATE INDEX audit_places ON audit (subject, at) WHERE sid IS NOT NULL;

-- When a secret of an application was used last, to the minute, written behind.
CREATE TABLE secret_uses (
    client_id TEXT NOT NULL,
    secret_id TEXT NOT NULL,
    last_used BIGINT NOT NULL,
    PRIMARY KEY (client_id, secret_id)
);
