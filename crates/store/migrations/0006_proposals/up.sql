-- Separation of duties, and ways to find what an operator is about to end.

-- What waits for a second person, and what became of it. An open proposal whose time is over is expired;
-- nobody writes that down.
CREATE TABLE proposals (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
    digest TEXT NOT NULL,
    proposer TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    decided_by TEXT,
    decided_at BIGINT,
    break_glass BOOLEAN NOT NULL,
    acknowledged_by TEXT,
    acknowledged_at BIGINT
);

CREATE INDEX proposals_by_age ON proposals (created_at);
CREATE INDEX proposals_open ON proposals (created_at) WHERE state = 'open';
CREATE INDEX proposals_unseen ON proposals (created_at) WHERE break_glass AND acknowledged_by IS NULL;

CREATE INDEX families_by_person ON families (owner_id);
CREATE INDEX families_by_client ON families (client_id);
CREATE INDEX families_alive ON families (abs_exp) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_person ON sessions (person_id);
