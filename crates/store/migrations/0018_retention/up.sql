-- What is deleted because its time was over, by table: counted in the transaction that deletes it, and told to
-- the audit log a moment later. `untold` is what the log has not heard of yet.
CREATE TABLE retention_runs (
    name TEXT NOT NULL PRIMARY KEY,
    untold BIGINT NOT NULL,
    removed BIGINT NOT NULL,
    at BIGINT NOT NULL
);

-- Secrets of applications whose last use was long ago are looked for every minute.
CREATE INDEX secret_uses_by_age ON secret_uses (last_used);

-- Accounts of people that nobody uses, watched only where the settings say so: when one was used last, as far as
-- somebody has looked, how far it has come since then, and when it had to be held back.
CREATE TABLE people_idle (
    person_id TEXT NOT NULL PRIMARY KEY,
    used_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    since BIGINT NOT NULL,
    held_at BIGINT
);

CREATE INDEX people_idle_due ON people_idle (state, used_at);
