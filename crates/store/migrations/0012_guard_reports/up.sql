-- What guards said last, to whichever of several servers: so that each can say who has heard of a revocation.
-- Words and no promises; whoever is silent for an hour is forgotten.
CREATE TABLE guard_reports (
    feed TEXT NOT NULL,
    guard TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    as_of_ms BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (feed, guard)
);
