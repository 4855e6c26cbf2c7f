//! Access reviews: kept, signed once, and found again, and when things were used last. That a line is signed
//! once, that the review is open and theirs to sign, and that it is closed only whole stands in WHERE clauses.

use std::collections::HashMap;
use std::hash::Hash;

use async_trait::async_trait;
use diesel::dsl::max;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::reviews::{Access, Decision, Review, ReviewAct, ReviewBook, ReviewRow, Uses};

use crate::Store;
use crate::acts::Effect;
use crate::cipher::{Cipher, REVIEW_EMAIL};
use crate::db::{Fault, Rows, both, glance, on, rows_into};
use crate::rows::{self, signed, unsigned};
use crate::schema::{audit, audit_head, families, operator_sessions, review_rows, reviews, secret_uses};

/// Rows in one insert: nine columns each, well below what PostgreSQL binds.
const BITE: usize = 1000;
/// Audit records that are looked through for the last use of what leaves no other trace.
const NEWEST: i64 = 100_000;
/// Lines about one person in one answer.
const MOST_OF_ONE: i64 = 1000;

#[async_trait]
impl ReviewBook for Store {
    async fn uses(&self) -> Result<Uses, Trouble> {
        // What this server saw itself counts at once.
        self.write_uses().await?;
        let read = async { glance!(self.books.db, |c| c.uses().await) };
        Ok(self.books.db.within(read).await?)
    }

    async fn review(&self, id: &str) -> Result<Option<(Review, Vec<ReviewRow>)>, Trouble> {
        // PostgreSQL has trouble with a NUL; nothing is called that.
        if id.contains('\0') {
            return Ok(None);
        }
        let cipher = &self.books.cipher;
        let read = || async { glance!(self.books.db, |c| c.review(id, cipher).await) };
        Ok(self.books.reading(read).await?)
    }

    async fn reviews(&self, most: usize) -> Result<Vec<Review>, Trouble> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let read = async {
            Ok(on!(self.books.db, |c| reviews::table
                .order(reviews::opened_at.desc())
                .limit(most)
                .select(StoredReview::as_select())
                .load(c)
                .await?))
        };
        let rows: Vec<StoredReview> = self.books.db.within(read).await?;
        Ok(rows.into_iter().map(StoredReview::read).collect::<Result<_, _>>()?)
    }
}

impl Store {
    /// Lines of reviews about what somebody has, with the ids of the reviews.
    pub async fn review_rows_of(&self, holder: &str) -> Result<Vec<(String, ReviewRow)>, Trouble> {
        let read = || async {
            let rows: Vec<StoredReviewRow> = on!(self.books.db, |c| review_rows::table
                .filter(review_rows::holder.eq(holder))
                .order((review_rows::review_id, review_rows::n))
                .limit(MOST_OF_ONE)
                .select(StoredReviewRow::as_select())
                .load(c)
                .await?);
            let open = |row: StoredReviewRow| Ok((row.review_id.clone(), row.read(&self.books.cipher)?));
            rows.into_iter().map(open).collect()
        };
        Ok(self.books.reading(read).await?)
    }

    /// Erases what the audit log and the reviews hold on a person beside the id. Answers how many rows lost
    /// something; once is enough, and again does no harm.
    pub async fn forget_person(&self, person: &str, resources: &[String]) -> Result<usize, Trouble> {
        let nameless = async {
            Ok(on!(self.books.db, |c| diesel::update(review_rows::table)
                .filter(review_rows::holder.eq(person))
                .filter(review_rows::email.is_not_null())
                .set(review_rows::email.eq(None::<String>))
                .execute(c)
                .await?))
        };
        Ok(self.bite(nameless).await? + self.audit_erase(person, resources).await?)
    }
}

/// Reviews on an open transaction.
pub(crate) trait Reviewing {
    async fn uses(&mut self) -> Result<Uses, Fault>;
    /// By client id.
    async fn clients_used(&mut self, after: i64) -> Result<HashMap<String, u64>, Fault>;
    /// By person and organization.
    async fn places_used(&mut self, after: i64) -> Result<HashMap<(String, String), u64>, Fault>;
    /// By operator id.
    async fn operators_used(&mut self, after: i64) -> Result<HashMap<String, u64>, Fault>;
    async fn review(&mut self, id: &str, cipher: &Cipher) -> Result<Option<(Review, Vec<ReviewRow>)>, Fault>;
    async fn review_act(&mut self, act: &ReviewAct, cipher: &Cipher) -> Result<Effect, Fault>;
    async fn open_review(
        &mut self,
        review: &Review,
        rows: &[ReviewRow],
        cipher: &Cipher,
    ) -> Result<Effect, Fault>;
    async fn sign_row(&mut self, act: &ReviewAct) -> Result<Effect, Fault>;
}

both! {
    impl Reviewing {
        async fn uses(&mut self) -> Result<Uses, Fault> {
            let head: i64 = audit_head::table.find(1).select(audit_head::seq).get_result(self).await?;
            let after = head - NEWEST;
            Ok(Uses {
                clients: self.clients_used(after).await?,
                people: self.places_used(after).await?,
                operators: self.operators_used(after).await?,
            })
        }

        async fn clients_used(&mut self, after: i64) -> Result<HashMap<String, u64>, Fault> {
            let secrets: Vec<(String, Option<i64>)> = secret_uses::table
                .group_by(secret_uses::client_id)
                .select((secret_uses::client_id, max(secret_uses::last_used)))
                .load(self)
                .await?;
            let logins: Vec<(String, Option<i64>)> = families::table
                .group_by(families::client_id)
                .select((families::client_id, max(families::rotated_at)))
                .load(self)
                .await?;
            let issued: Vec<(Option<String>, Option<i64>)> = audit::table
                .filter(audit::seq.gt(after))
                .filter(audit::event.eq("token.issued"))
                .group_by(audit::client_id)
                .select((audit::client_id, max(audit::at)))
                .load(self)
                .await?;
            let issued = issued.into_iter().filter_map(|(id, at)| Some((id?, at)));
            Ok(latest(secrets.into_iter().chain(logins).chain(issued)))
        }

        async fn places_used(&mut self, after: i64) -> Result<HashMap<(String, String), u64>, Fault> {
            let logins: Vec<(Option<String>, String, Option<i64>)> = families::table
                .group_by((families::owner_id, families::organization_id))
                .select((families::owner_id, families::organization_id, max(families::rotated_at)))
                .load(self)
                .await?;
            let issued: Vec<(Option<String>, Option<String>, Option<i64>)> = audit::table
                .filter(audit::seq.gt(after))
                .filter(audit::event.eq("token.issued"))
                .group_by((audit::subject, audit::organization_id))
                .select((audit::subject, audit::organization_id, max(audit::at)))
                .load(self)
                .await?;
            let logins = logins.into_iter().map(|(person, place, at)| (person, Some(place), at));
            let whole = |(person, place, at)| Some(((person?, place?), at));
            Ok(latest(logins.chain(issued).filter_map(whole)))
        }

        async fn operators_used(&mut self, after: i64) -> Result<HashMap<String, u64>, Fault> {
            let sessions: Vec<(String, Option<i64>)> = operator_sessions::table
                .group_by(operator_sessions::operator_id)
                .select((operator_sessions::operator_id, max(operator_sessions::last_used)))
                .load(self)
                .await?;
            let entered: Vec<(String, Option<i64>)> = audit::table
                .filter(audit::seq.gt(after))
                .filter(audit::event.eq("operator.login"))
                .group_by(audit::actors)
                .select((audit::actors, max(audit::at)))
                .load(self)
                .await?;
            let entered = entered.into_iter().filter_map(|(actors, at)| Some((only_operator(&actors)?, at)));
            Ok(latest(sessions.into_iter().chain(entered)))
        }

        async fn review(
            &mut self,
            id: &str,
            cipher: &Cipher,
        ) -> Result<Option<(Review, Vec<ReviewRow>)>, Fault> {
            let found: Option<StoredReview> = reviews::table
                .find(id)
                .select(StoredReview::as_select())
                .get_result(self)
                .await
                .optional()?;
            let Some(review) = found.map(StoredReview::read).transpose()? else { return Ok(None) };
            let lines: Vec<StoredReviewRow> = review_rows::table
                .filter(review_rows::review_id.eq(id))
                .order(review_rows::n)
                .select(StoredReviewRow::as_select())
                .load(self)
                .await?;
            let lines = lines.into_iter().map(|line| line.read(cipher)).collect::<Result<_, _>>()?;
            Ok(Some((review, lines)))
        }

        async fn review_act(&mut self, act: &ReviewAct, cipher: &Cipher) -> Result<Effect, Fault> {
            let changed = match act {
                ReviewAct::Open { review, rows } => return self.open_review(review, rows, cipher).await,
                ReviewAct::Sign { .. } => return self.sign_row(act).await,
                ReviewAct::Assign { review, to } => {
                    diesel::update(reviews::table.find(review))
                        .filter(reviews::closed_at.is_null())
                        .set(reviews::assignee.eq(to))
                        .execute(self)
                        .await?
                }
                ReviewAct::Close { review, by, now, digest } => {
                    diesel::update(reviews::table.find(review))
                        .filter(reviews::closed_at.is_null())
                        .filter(reviews::decided.eq(reviews::lines))
                        .set((
                            reviews::closed_by.eq(by),
                            reviews::closed_at.eq(signed(*now)),
                            reviews::digest.eq(digest),
                        ))
                        .execute(self)
                        .await?
                }
            };
            Ok(if changed == 1 { Effect::Quiet } else { Effect::Lost })
        }

        async fn open_review(
            &mut self,
            review: &Review,
            rows: &[ReviewRow],
            cipher: &Cipher,
        ) -> Result<Effect, Fault> {
            diesel::insert_into(reviews::table).values(StoredReview::of(review)?).execute(self).await?;
            let rows = rows.iter().map(|row| StoredReviewRow::of((&review.id, row), cipher));
            self.write(rows.collect::<Result<Vec<_>, _>>()?).await?;
            Ok(Effect::Quiet)
        }

        async fn sign_row(&mut self, act: &ReviewAct) -> Result<Effect, Fault> {
            let ReviewAct::Sign { review, n, decision, by, reason, now } = act else { return Ok(Effect::Lost) };
            // The review's own row first: whoever closes it at the same moment waits here.
            let theirs = reviews::assignee.is_null().or(reviews::assignee.eq(by).assume_not_null());
            let counted = diesel::update(reviews::table.find(review))
                .filter(reviews::closed_at.is_null())
                .filter(theirs)
                .set(reviews::decided.eq(reviews::decided + 1))
                .execute(self)
                .await?;
            if counted == 0 {
                return Ok(Effect::Lost);
            }
            let signed_off = diesel::update(review_rows::table.find((review, signed(*n))))
                .filter(review_rows::decision.is_null())
                .set((
                    review_rows::decision.eq(decision.as_str()),
                    review_rows::decided_by.eq(by),
                    review_rows::decided_at.eq(signed(*now)),
                    review_rows::reason.eq(reason),
                ))
                .execute(self)
                .await?;
            Ok(if signed_off == 1 { Effect::Quiet } else { Effect::Lost })
        }
    }
}

/// The latest time of each.
fn latest<K: Eq + Hash>(all: impl Iterator<Item = (K, Option<i64>)>) -> HashMap<K, u64> {
    let mut known: HashMap<K, u64> = HashMap::new();
    for (key, at) in all {
        let kept = known.entry(key).or_default();
        *kept = (*kept).max(at.map_or(0, unsigned));
    }
    known
}

/// The operator of a record that names one actor.
fn only_operator(actors: &str) -> Option<String> {
    let actors: Vec<String> = serde_json::from_str(actors).ok()?;
    let first = actors.into_iter().next()?;
    first.strip_prefix("operator:").map(str::to_owned)
}

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = reviews, treat_none_as_default_value = false)]
struct StoredReview {
    id: String,
    extent: String,
    opened_by: String,
    opened_at: i64,
    assignee: Option<String>,
    lines: i64,
    decided: i64,
    closed_by: Option<String>,
    closed_at: Option<i64>,
    digest: Option<String>,
}

impl StoredReview {
    fn of(it: &Review) -> Result<Self, Fault> {
        Ok(Self {
            id: it.id.clone(),
            extent: rows::written("a review", &it.extent)?,
            opened_by: it.opened_by.clone(),
            opened_at: signed(it.opened_at),
            assignee: it.assignee.clone(),
            lines: signed(it.rows),
            decided: signed(it.decided),
            closed_by: it.closed_by.clone(),
            closed_at: it.closed_at.map(signed),
            digest: it.digest.clone(),
        })
    }

    fn read(self) -> Result<Review, Fault> {
        Ok(Review {
            extent: rows::read("a review", &self.extent)?,
            id: self.id,
            opened_by: self.opened_by,
            opened_at: unsigned(self.opened_at),
            assignee: self.assignee,
            rows: unsigned(self.lines),
            decided: unsigned(self.decided),
            closed_by: self.closed_by,
            closed_at: self.closed_at.map(unsigned),
            digest: self.digest,
        })
    }
}

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = review_rows, treat_none_as_default_value = false)]
pub(crate) struct StoredReviewRow {
    review_id: String,
    n: i64,
    holder: String,
    email: Option<String>,
    doc: String,
    decision: Option<String>,
    decided_by: Option<String>,
    decided_at: Option<i64>,
    reason: Option<String>,
}

impl StoredReviewRow {
    fn of((review, row): (&str, &ReviewRow), cipher: &Cipher) -> Result<Self, Fault> {
        let plain = Access { email: None, ..row.access.clone() };
        let place = line_row(review, signed(row.n));
        let email = row.access.email.as_deref().map(|email| cipher.seal(REVIEW_EMAIL, &place, email));
        Ok(Self {
            review_id: review.into(),
            n: signed(row.n),
            holder: row.access.holder.clone(),
            email: email.transpose()?,
            doc: rows::written("a line of a review", &plain)?,
            decision: row.decision.map(|it| it.as_str().into()),
            decided_by: row.decided_by.clone(),
            decided_at: row.decided_at.map(signed),
            reason: row.reason.clone(),
        })
    }

    fn read(self, cipher: &Cipher) -> Result<ReviewRow, Fault> {
        let place = line_row(&self.review_id, self.n);
        let email = self.email.map(|email| cipher.open(REVIEW_EMAIL, &place, email)).transpose()?;
        let plain: Access = rows::read("a line of a review", &self.doc)?;
        let decision = self.decision.map(|word| {
            Decision::from_word(&word).ok_or_else(|| Fault::unreadable("a line of a review", word))
        });
        Ok(ReviewRow {
            n: unsigned(self.n),
            access: Access { email, ..plain },
            decision: decision.transpose()?,
            decided_by: self.decided_by,
            decided_at: self.decided_at.map(unsigned),
            reason: self.reason,
        })
    }
}

/// A line's row by its name.
pub(crate) fn line_row(review: &str, n: i64) -> String {
    format!("{review}/{n}")
}

rows_into!(review_rows::table, StoredReviewRow, BITE);
