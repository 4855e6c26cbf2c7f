//! Rows and the values they stand for: base64url, whole numbers and JSON in, structs out.
//!
//! What changes on its own (a family's secret, a code's spending) is a column and rules; the rest of a
//! struct is its `doc`. Nothing here talks to a database.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use diesel::prelude::*;
use portcullis_authority::ledger::{CodeRow, Family, LogRow, Position, Session};
use portcullis_authority::provisioning::Kind as CardKind;
use portcullis_authority::registry::{FenceKind, Membership, Person, Scope};
use portcullis_guard::claims::OwnerKind;
use portcullis_guard::feed::{Kind, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cipher::{Cipher, Mark, PERSON};
use crate::db::Fault;
use crate::schema::{codes, families, memberships, people, rv_log, sessions};

/// An authorization code.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = codes, treat_none_as_default_value = false)]
pub(crate) struct StoredCode {
    pub hash: String,
    pub expires_at: i64,
    pub spent_by: Option<String>,
    pub doc: String,
}

impl StoredCode {
    pub(crate) fn of(code: &CodeRow) -> Result<Self, Fault> {
        Ok(Self {
            hash: code.hash.clone(),
            expires_at: signed(code.expires_at),
            spent_by: code.spent_by.clone(),
            doc: written("a code", &CodeRow { spent_by: None, ..code.clone() })?,
        })
    }

    pub(crate) fn read(self) -> Result<CodeRow, Fault> {
        Ok(CodeRow { spent_by: self.spent_by, ..read("a code", &self.doc)? })
    }
}

/// A refresh family.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = families, treat_none_as_default_value = false)]
pub(crate) struct StoredFamily {
    pub id: String,
    pub client_id: String,
    pub organization_id: String,
    pub n: i64,
    pub secret: String,
    pub previous: Option<String>,
    pub sealed: Option<String>,
    pub rotated_at: i64,
    pub idle_exp: i64,
    pub abs_exp: i64,
    pub ended_at: Option<i64>,
    pub end_reason: Option<String>,
    pub doc: String,
    pub owner_id: Option<String>,
}

impl StoredFamily {
    pub(crate) fn of(family: &Family) -> Result<Self, Fault> {
        // What a column keeps is left out of the document, lest an old secret stay there for ever.
        let kept = Family {
            secret: String::new(),
            previous: None,
            sealed: None,
            ended_at: None,
            end_reason: None,
            ..family.clone()
        };
        Ok(Self {
            id: family.id.clone(),
            client_id: family.client_id.clone(),
            organization_id: family.organization.clone(),
            n: signed(family.n),
            secret: family.secret.clone(),
            previous: family.previous.clone(),
            sealed: family.sealed.clone(),
            rotated_at: signed(family.rotated_at),
            idle_exp: signed(family.idle_exp),
            abs_exp: signed(family.abs_exp),
            ended_at: family.ended_at.map(signed),
            end_reason: family.end_reason.clone(),
            doc: written("a family", &kept)?,
            owner_id: family.owner.as_ref().map(|(_, id)| id.clone()),
        })
    }

    pub(crate) fn read(self) -> Result<Family, Fault> {
        Ok(Family {
            n: unsigned(self.n),
            secret: self.secret,
            previous: self.previous,
            sealed: self.sealed,
            rotated_at: unsigned(self.rotated_at),
            idle_exp: unsigned(self.idle_exp),
            abs_exp: unsigned(self.abs_exp),
            ended_at: self.ended_at.map(unsigned),
            end_reason: self.end_reason,
            ..read("a family", &self.doc)?
        })
    }
}

/// A browser session.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = sessions, treat_none_as_default_value = false)]
pub(crate) struct StoredSession {
    pub hash: String,
    pub person_id: String,
    pub expires_at: i64,
    pub ended_at: Option<i64>,
    pub doc: String,
}

impl StoredSession {
    pub(crate) fn of(session: &Session) -> Result<Self, Fault> {
        Ok(Self {
            hash: session.hash.clone(),
            person_id: session.person.clone(),
            expires_at: signed(session.expires_at),
            ended_at: session.ended_at.map(signed),
            doc: written("a session", session)?,
        })
    }

    pub(crate) fn read(self) -> Result<Session, Fault> {
        Ok(Session { ended_at: self.ended_at.map(unsigned), ..read("a session", &self.doc)? })
    }
}

/// A customer or a user.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = people, treat_none_as_default_value = false)]
pub(crate) struct StoredPerson {
    pub id: String,
    pub kind: String,
    pub organization_id: Option<String>,
    pub email: String,
    pub password: Option<String>,
    pub disabled: bool,
    pub doc: String,
    pub password_given: bool,
}

impl StoredPerson {
    pub(crate) fn of(person: &Person, cipher: &Cipher) -> Result<Self, Fault> {
        // Generations are counted in a table of their own and never come from a seed.
        let kept = Person {
            password: None,
            password_given: false,
            generation: 0,
            actor_generation: 0,
            ..person.clone()
        };
        Ok(Self {
            id: person.id.clone(),
            kind: owner_kind(person.kind).into(),
            organization_id: person.organization.clone(),
            email: cipher.mark(Mark::PersonEmail, &folded(&person.email)),
            password: person.password.clone(),
            disabled: person.disabled,
            doc: cipher.seal(PERSON, &person.id, &written("a person", &kept)?)?,
            password_given: person.password_given,
        })
    }

    /// The person, with the generations that were counted for it.
    pub(crate) fn read(
        self,
        cipher: &Cipher,
        (generation, actor_generation): (u32, u32),
    ) -> Result<Person, Fault> {
        let doc = cipher.open(PERSON, &self.id, self.doc)?;
        Ok(Person {
            password: self.password,
            password_given: self.password_given,
            disabled: self.disabled,
            generation,
            actor_generation,
            ..read("a person", &doc)?
        })
    }
}

/// A user's place in an organization.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = memberships, treat_none_as_default_value = false)]
pub(crate) struct StoredMembership {
    pub id: String,
    pub user_id: String,
    pub organization_id: String,
    pub role_id: String,
    pub active: bool,
    pub doc: String,
}

impl StoredMembership {
    pub(crate) fn of(membership: &Membership) -> Result<Self, Fault> {
        Ok(Self {
            id: membership.id.clone(),
            user_id: membership.user.clone(),
            organization_id: membership.organization.clone(),
            role_id: membership.role.clone(),
            active: membership.active,
            doc: written("a membership", membership)?,
        })
    }

    pub(crate) fn read(self) -> Result<Membership, Fault> {
        Ok(Membership { role: self.role_id, active: self.active, ..read("a membership", &self.doc)? })
    }
}

/// A line of the feed.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = rv_log)]
pub(crate) struct StoredRecord {
    pub feed: String,
    pub seq: i64,
    pub epoch: i64,
    pub kind: i64,
    pub flags: i64,
    pub exp: i64,
    pub val: i64,
    pub id: String,
    pub as_of_ms: i64,
}

impl StoredRecord {
    pub(crate) fn of(feed: &str, row: &LogRow) -> Self {
        Self {
            feed: feed.to_owned(),
            seq: signed(row.position.seq),
            epoch: signed(row.position.epoch),
            kind: (row.record.kind as u8).into(),
            flags: row.record.flags.into(),
            exp: row.record.exp.into(),
            val: row.record.val.into(),
            id: BASE64URL.encode(row.record.id),
            as_of_ms: signed(row.as_of_ms),
        }
    }

    pub(crate) fn read(self) -> Result<LogRow, Fault> {
        let number = |what, value: i64| {
            u32::try_from(value).map_err(|_| Fault::unreadable("a record", format!("{what} is {value}")))
        };
        let kind = u8::try_from(self.kind).ok().and_then(Kind::from_number);
        Ok(LogRow {
            position: Position { epoch: unsigned(self.epoch), seq: unsigned(self.seq) },
            as_of_ms: unsigned(self.as_of_ms),
            record: Record {
                kind: kind
                    .ok_or_else(|| Fault::unreadable("a record", format!("{} is no kind", self.kind)))?,
                flags: number("flags", self.flags)?.min(0xff) as u8,
                exp: number("exp", self.exp)?,
                val: number("val", self.val)?,
                id: raw_id(&self.id)?,
            },
        })
    }
}

/// Sixteen bytes out of 22 characters.
pub(crate) fn raw_id(text: &str) -> Result<[u8; 16], Fault> {
    bytes("an id", text)
}

/// So many bytes out of base64url.
pub(crate) fn bytes<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], Fault> {
    let raw = BASE64URL.decode(text).map_err(|why| Fault::unreadable(what, why))?;
    raw.try_into().map_err(|raw: Vec<u8>| Fault::unreadable(what, format!("{} bytes", raw.len())))
}

/// base64url without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    BASE64URL.encode(bytes)
}

/// JSON for a `doc`.
pub(crate) fn written(what: &'static str, value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|why| Fault::unreadable(what, why))
}

/// A struct out of its `doc`.
pub(crate) fn read<T: DeserializeOwned>(what: &'static str, doc: &str) -> Result<T, Fault> {
    serde_json::from_str(doc).map_err(|why| Fault::unreadable(what, why))
}

/// A BIGINT. What is larger than any time or count we know stays the largest.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Back from a BIGINT; nothing we write is negative.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The 32 bits of a record. Too large is the largest: remembering longer is the safe direction.
pub(crate) fn word(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// E-mail addresses are compared without regard to case.
pub(crate) fn folded(email: &str) -> String {
    email.trim().to_lowercase()
}

pub(crate) fn owner_kind(kind: OwnerKind) -> &'static str {
    match kind {
        OwnerKind::Customer => "customer",
        OwnerKind::User => "user",
    }
}

/// The kind of a card in its table; for good, so not the words of the API.
pub(crate) fn card_kind(kind: CardKind) -> &'static str {
    match kind {
        CardKind::ApiCredential => "api_credential",
        CardKind::ApplicationMembership => "application_membership",
        CardKind::IdentityProvider => "identity_provider",
        CardKind::Membership => "membership",
        CardKind::MembershipProfile => "membership_profile",
        CardKind::Organization => "organization",
        CardKind::Permission => "permission",
        CardKind::Role => "role",
        CardKind::User => "user",
        CardKind::Version => "version",
    }
}

pub(crate) fn fence_kind(kind: FenceKind) -> &'static str {
    match kind {
        FenceKind::Market => "market",
        FenceKind::Store => "store",
        FenceKind::StockLocation => "stock_location",
    }
}

const SCOPES: [(Scope, &str, Kind); 5] = [
    (Scope::Subject, "subject", Kind::Subject),
    (Scope::Client, "client", Kind::Client),
    (Scope::Organization, "organization", Kind::Organization),
    (Scope::Everything, "everything", Kind::Everything),
    (Scope::Actor, "actor", Kind::Actor),
];

/// A scope in the table, and the kind of its records in the feed.
pub(crate) fn scope_words(scope: Scope) -> (&'static str, Kind) {
    let known = SCOPES.iter().find(|(known, ..)| *known == scope);
    let (_, word, kind) = known.expect("SCOPES lists every variant: checked by the test below");
    (word, *kind)
}

/// The scope that the table names so.
pub(crate) fn scope(word: &str) -> Result<Scope, Fault> {
    let known = SCOPES.iter().find(|(_, known, _)| *known == word);
    known.map(|(scope, ..)| *scope).ok_or_else(|| Fault::unreadable("a scope", word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_its_word_and_its_kind() {
        use Scope::*;
        for one in [Subject, Client, Organization, Everything, Actor] {
            // A new variant does not compile here before it is in the list above.
            match one {
                Subject | Client | Organization | Everything | Actor => {}
            }
            assert_eq!(scope(scope_words(one).0).ok(), Some(one));
        }
    }

    #[test]
    fn a_record_survives_its_row() {
        let row = LogRow {
            position: Position { epoch: 3, seq: 9 },
            as_of_ms: 17,
            record: Record { kind: Kind::Family, flags: 2, exp: u32::MAX, val: 5, id: [7; 16] },
        };
        assert_eq!(StoredRecord::of("live:eu1", &row).read().ok(), Some(row));
    }

    #[test]
    fn a_number_beyond_the_column_stays_the_largest() {
        assert_eq!(signed(u64::MAX), i64::MAX);
        assert_eq!(word(u64::MAX), u32::MAX);
    }
}
