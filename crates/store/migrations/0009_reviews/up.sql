-- Access reviews: a picture of who has what, and what was decided about each line of it.

-- `decided` is counted with every signature, so that a review is closed only when it is whole.
CREATE TABLE reviews (
    id TEXT NOT NULL PRIMARY KEY,
    extent TEXT NOT NULL,
    opened_by TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    assignee TEXT,
    lines BIGINT NOT NULL,
    decided BIGINT NOT NULL,
    closed_by TEXT,
    closed_at BIGINT,
    digest TEXT
);

CREATE INDEX reviews_by_age ON reviews (opened_at);

-- The address stands beside the picture: it is a person's, and may have to be forgotten.
CREATE TABLE review_rows (
    review_id TEXT NOT NULL REFERENCES reviews (id),
    n BIGINT NOT NULL,
    holder TEXT NOT NULL,
    email TEXT,
    doc TEXT NOT NULL,
    decision TEXT,
    decided_by TEXT,
    decided_at BIGINT,
    reason TEXT,
    PRIMARY KEY (review_id, n)
);

CREATE INDEX review_rows_by_holder ON review_rows (holder);
