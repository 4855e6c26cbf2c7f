//! Invitations to people. A row holds nothing personal: whom it invites is an account, and of the code there is
//! only a hash. Whether one is still open, the database decides.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::invitations::{Invitation, InvitationAct};
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::acts::Effect;
use crate::db::{Fault, both, on};
use crate::rows::{self, signed};
use crate::schema::person_invitations;

/// Rows of one list.
const MOST: i64 = 1000;

impl Store {
    /// The invitations to people that are open, the newest first; of very many, the newest.
    pub async fn people_invited(&self, now: u64) -> Result<Vec<Invitation>, Trouble> {
        let read = async {
            let docs: Vec<String> = on!(self.books.db, |c| person_invitations::table
                .filter(person_invitations::closed_at.is_null())
                .filter(person_invitations::expires_at.gt(signed(now)))
                .order((person_invitations::expires_at.desc(), person_invitations::id))
                .limit(MOST)
                .select(person_invitations::doc)
                .load(c)
                .await?);
            docs.iter().map(|doc| rows::read("an invitation", doc)).collect()
        };
        Ok(self.books.db.within(read).await?)
    }

    /// The invitations to a person that are in the books, open or not, the newest first.
    pub(crate) async fn ever_invited(&self, person: &str) -> Result<Vec<Invitation>, Trouble> {
        let read = async {
            let docs: Vec<String> = on!(self.books.db, |c| person_invitations::table
                .filter(person_invitations::person_id.eq(person))
                .order((person_invitations::expires_at.desc(), person_invitations::id))
                .limit(MOST)
                .select(person_invitations::doc)
                .load(c)
                .await?);
            docs.iter().map(|doc| rows::read("an invitation", doc)).collect()
        };
        Ok(self.books.db.within(read).await?)
    }

    /// The open invitation whose code has this hash.
    pub(crate) async fn invited(&self, hash: &str, now: u64) -> Result<Option<Invitation>, Trouble> {
        let read = async {
            let doc: Option<String> = on!(self.books.db, |c| person_invitations::table
                .filter(person_invitations::hash.eq(hash))
                .filter(person_invitations::closed_at.is_null())
                .filter(person_invitations::expires_at.gt(signed(now)))
                .select(person_invitations::doc)
                .get_result(c)
                .await
                .optional()?);
            doc.map(|doc| rows::read("an invitation", &doc)).transpose()
        };
        Ok(self.books.db.within(read).await?)
    }
}

/// Invitations on an open connection.
pub(crate) trait Inviting {
    async fn invitation_act(&mut self, act: &InvitationAct) -> Result<Effect, Fault>;
    async fn put_invitation(&mut self, invitation: &Invitation) -> Result<(), Fault>;
    /// All of a person.
    async fn close_invitations(&mut self, person: &str, now: u64) -> Result<(), Fault>;
}

both! {
    impl Inviting {
        async fn invitation_act(&mut self, act: &InvitationAct) -> Result<Effect, Fault> {
            match act {
                InvitationAct::Put(invitation) => {
                    self.put_invitation(invitation).await?;
                    Ok(Effect::Quiet)
                }
                // Of two who show the same code, the database says who was first.
                InvitationAct::Close { id, now } => {
                    let closed = diesel::update(person_invitations::table.find(id))
                        .filter(person_invitations::closed_at.is_null())
                        .filter(person_invitations::expires_at.gt(signed(*now)))
                        .set(person_invitations::closed_at.eq(signed(*now)))
                        .execute(self)
                        .await?;
                    Ok(if closed == 1 { Effect::Quiet } else { Effect::Spent { family: None } })
                }
            }
        }

        /// In the place of every one that the same person had before.
        async fn put_invitation(&mut self, invitation: &Invitation) -> Result<(), Fault> {
            self.close_invitations(&invitation.person, invitation.created_at).await?;
            diesel::insert_into(person_invitations::table)
                .values((
                    person_invitations::id.eq(&invitation.id),
                    person_invitations::hash.eq(&invitation.hash),
                    person_invitations::person_id.eq(&invitation.person),
                    person_invitations::expires_at.eq(signed(invitation.expires_at)),
                    person_invitations::doc.eq(rows::written("an invitation", invitation)?),
                ))
                .execute(self)
                .await?;
            Ok(())
        }

        async fn close_invitations(&mut self, person: &str, now: u64) -> Result<(), Fault> {
            diesel::update(person_invitations::table)
                .filter(person_invitations::person_id.eq(person))
                .filter(person_invitations::closed_at.is_null())
                .set(person_invitations::closed_at.eq(signed(now)))
                .execute(self)
                .await?;
            Ok(())
        }
    }
}
