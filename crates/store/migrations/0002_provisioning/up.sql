-- The Provisioning API: what it knows beside the registry, and ways to find what belongs to one tenant.

-- References, metadata, profiles, invitations: a card for a thing. No reference to `organizations`, because
-- the cards of users belong to none.
CREATE TABLE cards (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE INDEX cards_by_organization ON cards (organization_id);
CREATE INDEX applications_by_organization ON applications (organization_id);
CREATE INDEX memberships_by_organization ON memberships (organization_id);

-- Whose login a family is, so that the logins of one person in one organization can be ended. Families
-- that are older than this column are found by their document.
ALTER TABLE families ADD COLUMN owner_id TEXT;
CREATE INDEX families_by_owner ON families (organization_id, owner_id);

-- Changes among all that is audited.
CREATE INDEX audit_changes ON audit (organization_id, seq) WHERE event = 'registry.changed';
