-- People, as operators look at them: where they came from.
CREATE INDEX audit_places ON audit (subject, at) WHERE sid IS NOT NULL;

-- When a secret of an application was used last, to the minute, written behind.
CREATE TABLE secret_uses (
    client_id TEXT NOT NULL,
    secret_id TEXT NOT NULL,
    last_used BIGINT NOT NULL,
    PRIMARY KEY (client_id, secret_id)
);
