//! Sealing what is plain, and sealing anew what an older data key has sealed: row by row in small transactions,
//! while everybody goes on. A row that somebody changes meanwhile is left to them; it may be stopped and run
//! again, for what is done is no longer looked for.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::audit::StoredAudit;
use crate::cipher::{
    CARD, Cipher, INVITATION, Mark, OPERATOR, OPERATOR_SESSION, PERSON, PROPOSAL, REVIEW_EMAIL,
};
use crate::db::{Fault, on, tx};
use crate::estate::card_row;
use crate::reviews::line_row;
use crate::rows::{folded, read};
use crate::schema::{
    audit, cards, operator_invitations, operator_sessions, operators, people, proposals, review_rows, reviews,
};

/// Rows in one transaction.
const BITE: i64 = 200;
/// Numbers of the log that are looked through in one transaction.
const SPAN: i64 = 1000;

/// How many rows were written anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resealed {
    pub people: usize,
    pub operators: usize,
    pub sessions: usize,
    pub cards: usize,
    pub proposals: usize,
    pub reviews: usize,
    pub audit: usize,
}

impl Resealed {
    /// All of them.
    pub fn rows(&self) -> usize {
        let Self { people, operators, sessions, cards, proposals, reviews, audit } = self;
        people + operators + sessions + cards + proposals + reviews + audit
    }
}

/// Walks a table by its key: finds rows that the current key has not sealed, and writes them anew if they are
/// still what was read.
macro_rules! walk {
    ($store:expr, $table:ident.$key:ident.$column:ident, $field:expr, |$anew:ident, $open:ident| $set:expr) => {{
        let (cipher, under) = ($store.books.vault_of_today()?, $store.books.under_current());
        let (mut done, mut after) = (0, String::new());
        loop {
            let step = async {
                tx!($store.books.db, |c| {
                    let rows: Vec<(String, String)> = $table::table
                        .filter($table::$key.gt(&after))
                        .filter($table::$column.not_like(&under))
                        .order($table::$key)
                        .limit(BITE)
                        .select(($table::$key, $table::$column))
                        .load(c)
                        .await?;
                    let mut some = 0;
                    for (key, before) in &rows {
                        let $open = cipher.open($field, key, before.clone())?;
                        let $anew = cipher.seal($field, key, &$open)?;
                        let row =
                            $table::table.filter($table::$key.eq(key)).filter($table::$column.eq(before));
                        some += diesel::update(row).set($set).execute(c).await?;
                    }
                    Ok::<_, Fault>((some, rows.last().map(|(key, _)| key.clone())))
                })
            };
            let (some, last) = $store.bite(step).await?;
            done += some;
            match last {
                Some(last) => after = last,
                None => break done,
            }
        }
    }};
}

impl Store {
    /// Seals every field that is plain or under an older data key. Rows that others write meanwhile under an
    /// older key are found when it is run again.
    pub async fn reseal(&self) -> Result<Resealed, Trouble> {
        self.books.learn().await?;
        Ok(self.reseal_all().await?)
    }

    async fn reseal_all(&self) -> Result<Resealed, Fault> {
        let cipher = &self.books.cipher;
        Ok(Resealed {
            people: walk!(self, people.id.doc, PERSON, |anew, open| {
                (people::doc.eq(anew), people::email.eq(marked(cipher, Mark::PersonEmail, &open)?))
            }),
            operators: walk!(self, operators.id.doc, OPERATOR, |anew, open| {
                (operators::doc.eq(anew), operators::email.eq(marked(cipher, Mark::OperatorEmail, &open)?))
            }),
            sessions: walk!(self, operator_sessions.hash.doc, OPERATOR_SESSION, |anew, open| {
                operator_sessions::doc.eq(anew)
            }) + walk!(self, operator_invitations.id.doc, INVITATION, |anew, open| {
                operator_invitations::doc.eq(anew)
            }),
            cards: self.reseal_cards().await?,
            proposals: walk!(self, proposals.id.what, PROPOSAL, |anew, open| proposals::what.eq(anew)),
            reviews: self.reseal_reviews().await?,
            audit: self.reseal_audit().await?,
        })
    }

    async fn reseal_cards(&self) -> Result<usize, Fault> {
        let (cipher, under) = (self.books.vault_of_today()?, self.books.under_current());
        let kinds =
            async { Ok(on!(self.books.db, |c| cards::table.select(cards::kind).distinct().load(c).await?)) };
        let kinds: Vec<String> = self.books.db.within(kinds).await?;
        let mut done = 0;
        for kind in kinds {
            let mut after = String::new();
            loop {
                let step = async {
                    tx!(self.books.db, |c| {
                        let rows: Vec<(String, String)> = cards::table
                            .filter(cards::kind.eq(&kind))
                            .filter(cards::id.gt(&after))
                            .filter(cards::doc.not_like(&under))
                            .order(cards::id)
                            .limit(BITE)
                            .select((cards::id, cards::doc))
                            .load(c)
                            .await?;
                        let mut some = 0;
                        for (id, before) in &rows {
                            let place = card_row(&kind, id);
                            let open = cipher.open(CARD, &place, before.clone())?;
                            let row = cards::table.find((&kind, id)).filter(cards::doc.eq(before));
                            let anew = cards::doc.eq(cipher.seal(CARD, &place, &open)?);
                            some += diesel::update(row).set(anew).execute(c).await?;
                        }
                        Ok::<_, Fault>((some, rows.last().map(|(id, _)| id.clone())))
                    })
                };
                let (some, last) = self.bite(step).await?;
                done += some;
                match last {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        Ok(done)
    }

    async fn reseal_reviews(&self) -> Result<usize, Fault> {
        let (cipher, under) = (self.books.vault_of_today()?, self.books.under_current());
        let ids = async { Ok(on!(self.books.db, |c| reviews::table.select(reviews::id).load(c).await?)) };
        let ids: Vec<String> = self.books.db.within(ids).await?;
        let mut done = 0;
        for review in ids {
            let mut after = -1;
            loop {
                let step = async {
                    tx!(self.books.db, |c| {
                        let rows: Vec<(i64, Option<String>)> = review_rows::table
                            .filter(review_rows::review_id.eq(&review))
                            .filter(review_rows::n.gt(after))
                            .filter(review_rows::email.not_like(&under))
                            .order(review_rows::n)
                            .limit(BITE)
                            .select((review_rows::n, review_rows::email))
                            .load(c)
                            .await?;
                        let mut some = 0;
                        for (n, before) in &rows {
                            let Some(before) = before else { continue };
                            let place = line_row(&review, *n);
                            let open = cipher.open(REVIEW_EMAIL, &place, before.clone())?;
                            let row =
                                review_rows::table.find((&review, n)).filter(review_rows::email.eq(before));
                            let anew = review_rows::email.eq(cipher.seal(REVIEW_EMAIL, &place, &open)?);
                            some += diesel::update(row).set(anew).execute(c).await?;
                        }
                        Ok::<_, Fault>((some, rows.last().map(|(n, _)| *n)))
                    })
                };
                let (some, last) = self.bite(step).await?;
                done += some;
                match last {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        Ok(done)
    }

    /// By spans of numbers, because most rows of a long log are done already when it is run again.
    async fn reseal_audit(&self) -> Result<usize, Fault> {
        let (mut from, head) = (0, self.head_seq().await?);
        let first = async {
            Ok(on!(self.books.db, |c| audit::table
                .select(diesel::dsl::min(audit::seq))
                .get_result::<Option<i64>>(c)
                .await?))
        };
        from = self.books.db.within(first).await?.map_or(from, |first| first - 1);
        let mut done = 0;
        while from < head {
            done += self.bite(self.reseal_span(from)).await?;
            from += SPAN;
        }
        Ok(done)
    }

    async fn reseal_span(&self, after: i64) -> Result<usize, Fault> {
        let (cipher, under) = (self.books.vault_of_today()?, self.books.under_current());
        // A field without a seal is of the first form, which the chain binds as it is.
        let address = audit::address_seal.is_not_null().and(audit::address.not_like(&under));
        let detail = audit::detail_seal.is_not_null().and(audit::detail.not_like(&under));
        tx!(self.books.db, |c| {
            let rows: Vec<StoredAudit> = audit::table
                .filter(audit::seq.gt(after))
                .filter(audit::seq.le(after + SPAN))
                .filter(address.assume_not_null().or(detail.assume_not_null()))
                .select(StoredAudit::as_select())
                .load(c)
                .await?;
            let mut done = 0;
            for row in rows {
                let (address, detail) = (row.address.clone(), row.detail.clone());
                let anew = row.resealed(cipher)?;
                // Not what was erased meanwhile: it must not come back.
                let same = sql::<Bool>("coalesce(address, '') = ")
                    .bind::<Text, _>(address.unwrap_or_default())
                    .sql(" AND coalesce(detail, '') = ")
                    .bind::<Text, _>(detail.unwrap_or_default());
                done += diesel::update(audit::table.find(anew.seq).filter(same))
                    .set((
                        audit::address.eq(anew.address),
                        audit::address_seal.eq(anew.address_seal),
                        audit::address_mark.eq(anew.address_mark),
                        audit::detail.eq(anew.detail),
                        audit::detail_seal.eq(anew.detail_seal),
                    ))
                    .execute(c)
                    .await?;
            }
            Ok::<_, Fault>(done)
        })
    }
}

impl crate::Books {
    /// What is left alone: the pattern of what the current key has sealed.
    fn under_current(&self) -> String {
        self.cipher.current_prefix().unwrap_or_default() + "%"
    }

    /// What seals. Without keys there is nothing to do, and nothing that looks like it was done.
    fn vault_of_today(&self) -> Result<&Cipher, Fault> {
        let none = || Fault::unreadable("a data key", "these books have none");
        self.cipher.seals().then_some(&self.cipher).ok_or_else(none)
    }
}

/// The mark of the address in a person's or an operator's document.
fn marked(cipher: &Cipher, mark: Mark, doc: &str) -> Result<String, Fault> {
    #[derive(Deserialize)]
    struct Addressed {
        email: String,
    }
    let it: Addressed = read("a document", doc)?;
    Ok(cipher.mark(mark, &folded(&it.email)))
}
