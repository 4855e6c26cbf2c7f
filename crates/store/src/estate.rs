//! What the Provisioning API reads: everything of some organizations in one moment, a card, and the traces
//! of changes. Nothing outside the organizations that are named is ever looked at.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::provisioning::change::{Keepings, Trace, Traced};
use portcullis_authority::provisioning::{Card, Kind};
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::audit::opened;
use crate::cipher::{AUDIT_DETAIL, CARD, Cipher};
use crate::db::{Fault, both, glance, on};
use crate::registry::docs;
use crate::rows::{self, StoredMembership, StoredPerson, card_kind, unsigned};
use crate::schema::{
    applications, audit, cards, memberships, organizations, people, registry_version, roles,
};

/// Of more changes than this the older ones are only in the audit log itself.
const MOST_CHANGES: i64 = 10_000;

/// Reading an estate on a transaction.
trait Surveying {
    async fn survey(&mut self, user: &str, reach: &[String], cipher: &Cipher) -> Result<Keepings, Fault>;
}

both! {
    impl Surveying {
        async fn survey(&mut self, user: &str, reach: &[String], cipher: &Cipher) -> Result<Keepings, Fault> {
            let version: i64 =
                registry_version::table.find(1).select(registry_version::version).get_result(self).await?;
            let organizations: Vec<String> = organizations::table
                .filter(organizations::id.eq_any(reach))
                .select(organizations::doc)
                .load(self)
                .await?;
            let roles: Vec<String> = roles::table
                .filter(roles::organization_id.eq_any(reach))
                .select(roles::doc)
                .load(self)
                .await?;
            let applications: Vec<String> = applications::table
                .filter(applications::organization_id.eq_any(reach))
                .select(applications::doc)
                .load(self)
                .await?;
            let places: Vec<StoredMembership> = memberships::table
                .filter(memberships::organization_id.eq_any(reach))
                .select(StoredMembership::as_select())
                .load(self)
                .await?;
            let members = memberships::table
                .filter(memberships::organization_id.eq_any(reach))
                .select(memberships::user_id);
            let people: Vec<StoredPerson> = people::table
                .filter(people::id.eq_any(members))
                .select(StoredPerson::as_select())
                .load(self)
                .await?;
            let cards: Vec<(String, String, String)> = cards::table
                .filter(cards::organization_id.eq_any(reach))
                .or_filter(cards::kind.eq(card_kind(Kind::User)).and(cards::id.eq(user)))
                .select((cards::kind, cards::id, cards::doc))
                .load(self)
                .await?;
            Ok(Keepings {
                version: unsigned(version),
                organizations: docs("an organization", organizations)?,
                roles: docs("a role", roles)?,
                applications: docs("an application", applications)?,
                memberships: places.into_iter().map(StoredMembership::read).collect::<Result<_, _>>()?,
                // Generations are no part of what is shown, and nothing writes them back.
                people: people.into_iter().map(|row| row.read(cipher, (0, 0))).collect::<Result<_, _>>()?,
                cards: cards.into_iter().map(|row| opened_card(cipher, row)).collect::<Result<_, _>>()?,
            })
        }
    }
}

impl Store {
    pub(crate) async fn keepings(&self, user: &str, reach: &[String]) -> Result<Keepings, Trouble> {
        let cipher = &self.books.cipher;
        let read = || async { glance!(self.books.db, |c| c.survey(user, reach, cipher).await) };
        Ok(self.books.reading(read).await?)
    }

    pub(crate) async fn one_card(&self, kind: Kind, id: &str) -> Result<Option<Card>, Trouble> {
        // PostgreSQL has trouble with a NUL; nothing is called that.
        if id.contains('\0') {
            return Ok(None);
        }
        let read = || async {
            let found: Option<(String, String, String)> = on!(self.books.db, |c| cards::table
                .find((card_kind(kind), id))
                .select((cards::kind, cards::id, cards::doc))
                .get_result(c)
                .await
                .optional()?);
            found.map(|row| opened_card(&self.books.cipher, row)).transpose()
        };
        Ok(self.books.reading(read).await?)
    }

    pub(crate) async fn traces(&self, reach: &[String]) -> Result<Vec<Traced>, Trouble> {
        let read = || async {
            let lines: Vec<TracedRow> = on!(self.books.db, |c| audit::table
                .filter(audit::organization_id.eq_any(reach))
                // Word for word as in the index, which is made for this.
                .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("event = 'registry.changed'"))
                // One that was erased tells nothing any more.
                .filter(audit::detail.is_not_null())
                .order(audit::seq.desc())
                .limit(MOST_CHANGES)
                .select(TracedRow::as_select())
                .load(c)
                .await?);
            lines.into_iter().rev().map(|line| line.read(&self.books.cipher)).collect()
        };
        Ok(self.books.reading(read).await?)
    }
}

/// A card as its row has it: kind, id and document.
pub(crate) fn opened_card(cipher: &Cipher, (kind, id, doc): (String, String, String)) -> Result<Card, Fault> {
    rows::read("a card", &cipher.open(CARD, &card_row(&kind, &id), doc)?)
}

/// A card's row by its name.
pub(crate) fn card_row(kind: &str, id: &str) -> String {
    format!("{kind}/{id}")
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit)]
struct TracedRow {
    seq: i64,
    at: i64,
    organization_id: Option<String>,
    detail: Option<String>,
    hash: String,
}

impl TracedRow {
    /// The hash of its row names a trace: unlike the number, it tells nobody how much others do.
    fn read(self, cipher: &Cipher) -> Result<Traced, Fault> {
        let detail = opened(cipher, AUDIT_DETAIL, self.seq, self.detail)?;
        let trace: Trace = rows::read("a trace", &detail.unwrap_or_default())?;
        let id = self.hash.chars().take(22).collect();
        let organization = self.organization_id.unwrap_or_default();
        Ok(Traced { id, organization, at: unsigned(self.at), trace })
    }
}
