//! A ledger that counts what passes: it stands before all others, so it sees also what those only count.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use portcullis_authority::grants::ROSTER;
use portcullis_authority::keyring::chain::KeyChain;
use portcullis_authority::ledger::{
    Act, AuditRecord, CodeRow, Deed, Done, Family, Issued, Ledger, PersonFactor, Session, Survey, Whose,
};
use portcullis_authority::proposals::Proposal;
use portcullis_authority::refusal::{Code, Trouble};
use portcullis_authority::registry::Scope;

use super::board::short;
use super::{Board, label};

pub(super) struct Teller {
    books: Arc<dyn Ledger>,
    board: Arc<Board>,
}

/// What a deed is about, noted before it is given away.
#[derive(Debug, Default, PartialEq)]
struct Gist {
    issued: Vec<&'static str>,
    refused: Vec<(&'static str, &'static str)>,
    ended: Vec<&'static str>,
}

impl Teller {
    pub fn new(books: Arc<dyn Ledger>, board: Arc<Board>) -> Self {
        Self { books, board }
    }

    fn count(&self, gist: &Gist, done: &Done, began: Instant) {
        let Done::Committed { position } = done else { return };
        let board = &self.board;
        for grant in &gist.issued {
            board.issued.get_or_create(&label("grant", *grant)).inc();
        }
        for (asked, code) in &gist.refused {
            board.refused.get_or_create(&[("asked", (*asked).into()), ("code", (*code).into())]).inc();
        }
        for kind in &gist.ended {
            board.ended.get_or_create(&label("kind", *kind)).inc();
        }
        if let Some(position) = position.filter(|_| !gist.ended.is_empty()) {
            board.propagation.began(position, began);
        }
    }
}

impl Gist {
    fn of(deed: &Deed) -> Self {
        let mut gist = Self::default();
        gist.ends(&deed.act);
        for record in &deed.audit {
            match record.event.as_str() {
                "token.issued" => gist.issued.push(grant(record)),
                event => gist.refused.extend(asked(event).map(|asked| (asked, code(record)))),
            }
        }
        gist
    }

    fn ends(&mut self, act: &Act) {
        match act {
            Act::EndToken { .. } => self.ended.push("token"),
            Act::EndFamily { .. } => self.ended.push("login"),
            Act::EndKey { .. } => self.ended.push("key"),
            Act::Raise { scope, .. } => self.ended.push(match scope {
                Scope::Subject => "subject",
                Scope::Client => "client",
                Scope::Organization => "organization",
                Scope::Everything => "everything",
                Scope::Actor => "actor",
            }),
            Act::Several(acts) => acts.iter().for_each(|act| self.ends(act)),
            _ => {}
        }
    }
}

/// Which request was refused, by the audit's word for it.
fn asked(event: &str) -> Option<&'static str> {
    Some(match event {
        "token.refused" => "token",
        "revocation.refused" => "revocation",
        "introspection.refused" => "introspection",
        "sign_in.refused" => "sign_in",
        "consent.refused" => "consent",
        "operator.login.refused" => "operator",
        _ => return None,
    })
}

/// The code stands first in the reason; what comes after it may hold what a stranger has sent.
fn code(record: &AuditRecord) -> &'static str {
    let said = record.reason.as_deref().and_then(|reason| reason.split(':').next());
    said.and_then(|said| Code::ALL.into_iter().find(|code| code.as_str() == said))
        .map_or("other", Code::as_str)
}

fn grant(record: &AuditRecord) -> &'static str {
    let known = ROSTER.into_iter().find(|grant| record.grant.as_deref() == Some(grant.name()));
    known.map_or("other", |grant| short(grant.name()))
}

#[async_trait]
impl Ledger for Teller {
    async fn commit(&self, deed: Deed) -> Result<Done, Trouble> {
        let (gist, began) = (Gist::of(&deed), Instant::now());
        let done = self.books.commit(deed).await;
        self.board.commits.observe(began.elapsed().as_secs_f64());
        match &done {
            Ok(done) => self.count(&gist, done, began),
            Err(_) => _ = self.board.commits_failed.inc(),
        }
        done
    }

    async fn code(&self, hash: &str) -> Result<Option<CodeRow>, Trouble> {
        self.books.code(hash).await
    }

    async fn family(&self, id: &str) -> Result<Option<Family>, Trouble> {
        self.books.family(id).await
    }

    async fn session(&self, hash: &str) -> Result<Option<Session>, Trouble> {
        self.books.session(hash).await
    }

    async fn factor(&self, person: &str) -> Result<Option<PersonFactor>, Trouble> {
        self.books.factor(person).await
    }
}

#[async_trait]
impl Survey for Teller {
    async fn key_chain(&self) -> Result<KeyChain, Trouble> {
        self.books.key_chain().await
    }

    async fn live_logins(&self, whose: &Whose, now: u64, most: usize) -> Result<Vec<Family>, Trouble> {
        self.books.live_logins(whose, now, most).await
    }

    async fn issued(&self, whose: &Whose, since: u64) -> Result<Issued, Trouble> {
        self.books.issued(whose, since).await
    }

    async fn live_sessions(&self, person: &str, now: u64) -> Result<u64, Trouble> {
        self.books.live_sessions(person, now).await
    }

    async fn logins_ended(&self, person: &str, reason: &str) -> Result<u64, Trouble> {
        self.books.logins_ended(person, reason).await
    }

    async fn proposal(&self, id: &str) -> Result<Option<Proposal>, Trouble> {
        self.books.proposal(id).await
    }

    async fn proposals(&self, open: bool, most: usize) -> Result<Vec<Proposal>, Trouble> {
        self.books.proposals(open, most).await
    }

    async fn broken_glass(&self) -> Result<Vec<Proposal>, Trouble> {
        self.books.broken_glass().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::board::KINDS;

    fn note(event: &str, reason: &str) -> Deed {
        let record = AuditRecord {
            event: event.into(),
            reason: Some(reason.into()),
            grant: Some("hush".into()),
            ..AuditRecord::default()
        };
        Deed::new(Act::Note, record)
    }

    #[test]
    fn what_a_stranger_wrote_into_a_reason_is_no_label() {
        let gist = Gist::of(&note("token.refused", "invalid_grant: no such code: hush"));
        assert_eq!(gist.refused, [("token", "invalid_grant")]);
        assert_eq!(Gist::of(&note("token.refused", "hush")).refused, [("token", "other")]);
        assert_eq!(Gist::of(&note("token.issued", "")).issued, ["other"]);
        assert_eq!(Gist::of(&note("person.created", "hush")), Gist::default());
    }

    #[test]
    fn each_ending_of_several_is_one_of_the_kinds() {
        let scopes = [Scope::Subject, Scope::Client, Scope::Organization, Scope::Everything, Scope::Actor];
        let raises = scopes.map(|scope| Act::Raise { scope, id: "x".into(), exp: 1 });
        let mut acts = vec![
            Act::EndToken { jti: [0; 16], exp: 1 },
            Act::EndFamily { id: "x".into(), reason: "r".into(), now: 1, exp: 1 },
            Act::EndKey { kid: "x".into(), exp: 1 },
        ];
        acts.extend(raises);
        let gist = Gist::of(&Deed { act: Act::Several(acts), audit: Vec::new() });
        assert_eq!(gist.ended, KINDS);
    }
}
