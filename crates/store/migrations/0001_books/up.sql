-- One set of tables for SQLite and PostgreSQL: TEXT, BIGINT and BOOLEAN only. Bytes are base64url TEXT.
-- Migrations are append-only. `doc` is the JSON of a record for settings that nobody searches by, so that
-- adding a setting is no migration; a column is what is searched, unique or changed on its own.

-- The registry.

CREATE TABLE organizations (
    id TEXT NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    doc TEXT NOT NULL
);

CREATE TABLE applications (
    id TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    doc TEXT NOT NULL
);

CREATE TABLE roles (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (organization_id, id)
);

CREATE TABLE fences (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    code TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (organization_id, kind, id),
    UNIQUE (organization_id, kind, code)
);

CREATE TABLE guards (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL
);

CREATE TABLE people (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    organization_id TEXT REFERENCES organizations (id),
    email TEXT NOT NULL,
    password TEXT,
    disabled BOOLEAN NOT NULL,
    doc TEXT NOT NULL
);

-- Two partial indexes, because a NULL organization would make every user's address unique.
CREATE UNIQUE INDEX people_user_email ON people (email) WHERE kind = 'user';
CREATE UNIQUE INDEX people_customer_email ON people (organization_id, email) WHERE kind = 'customer';

CREATE TABLE memberships (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES people (id),
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    role_id TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    doc TEXT NOT NULL,
    UNIQUE (user_id, organization_id)
);

CREATE TABLE generations (
    scope TEXT NOT NULL,
    id TEXT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (scope, id)
);

CREATE TABLE registry_version (
    id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

INSERT INTO registry_version (id, version) VALUES (1, 0);

-- The ledger.

CREATE TABLE codes (
    hash TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    spent_by TEXT,
    doc TEXT NOT NULL
);

CREATE INDEX codes_by_end ON codes (expires_at);

CREATE TABLE families (
    id TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    n BIGINT NOT NULL,
    secret TEXT NOT NULL,
    previous TEXT,
    sealed TEXT,
    rotated_at BIGINT NOT NULL,
    idle_exp BIGINT NOT NULL,
    abs_exp BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT,
    doc TEXT NOT NULL
);

CREATE INDEX families_by_end ON families (abs_exp);

CREATE TABLE sessions (
    hash TEXT NOT NULL PRIMARY KEY,
    person_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    doc TEXT NOT NULL
);

CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE TABLE assertions (
    client_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    exp BIGINT NOT NULL,
    PRIMARY KEY (client_id, digest)
);

CREATE INDEX assertions_by_end ON assertions (exp);

-- The audit log: numbers and hashes come from `audit_head`, in the transaction that writes the rows.

CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    organization_id TEXT,
    client_id TEXT,
    subject TEXT,
    actors TEXT NOT NULL,
    grant_type TEXT,
    jti TEXT,
    sid TEXT,
    scope TEXT,
    address TEXT,
    request_id TEXT,
    reason TEXT,
    detail TEXT,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);

INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');

-- The feed: `rv_feed` is the counter that makes sequence numbers gap-free and in commit order.

CREATE TABLE rv_feed (
    name TEXT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    salt TEXT NOT NULL,
    chain TEXT NOT NULL,
    as_of_ms BIGINT NOT NULL,
    last_beat_ms BIGINT NOT NULL
);

CREATE TABLE rv_log (
    feed TEXT NOT NULL REFERENCES rv_feed (name),
    seq BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    flags BIGINT NOT NULL,
    exp BIGINT NOT NULL,
    val BIGINT NOT NULL,
    id TEXT NOT NULL,
    as_of_ms BIGINT NOT NULL,
    PRIMARY KEY (feed, seq)
);

CREATE INDEX rv_log_by_end ON rv_log (feed, exp);
