//! The guard's check over what the books have ended so far; no feed in between.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::desk::Inspector;
use portcullis_authority::keyring::KeyChain;
use portcullis_authority::ledger::{
    Act, CodeRow, Deed, Done, Family, Issued, Ledger, PersonFactor, Session, Survey, Whose,
};
use portcullis_authority::memory::Memory;
use portcullis_authority::proposals::Proposal;
use portcullis_authority::provisioning::change::Change;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Scope;
use portcullis_guard::claims::Shown;
use portcullis_guard::feed::Kind;
use portcullis_guard::{
    Access, Claims, DangerNothingEnded, Denied, Environment, Guard, KeySet, Revocations, Verdict,
};
use serde_json::{Value, json};

use super::ISSUER;

/// The services of the house, by their audiences.
const SERVICES: [&str; 2] = ["commerce-api", "reports"];

/// The memory, which also tells the guards what has ended.
pub struct Books {
    memory: Arc<Memory>,
    ended: Arc<Ended>,
    /// Steps in before the next deed.
    next: Mutex<Option<Act>>,
}

impl Books {
    pub fn new(memory: Arc<Memory>) -> Self {
        Self { memory, ended: Arc::default(), next: Mutex::default() }
    }

    pub fn interrupt(&self, act: Act) {
        *self.next.lock().unwrap() = Some(act);
    }

    async fn write(&self, deed: Deed) -> Result<Done, Trouble> {
        let act = deed.act.clone();
        let done = self.memory.commit(deed).await?;
        if let Done::Committed { .. } = done {
            self.ended.learn(act);
        }
        Ok(done)
    }
}

#[async_trait]
impl Ledger for Books {
    async fn commit(&self, deed: Deed) -> Result<Done, Trouble> {
        // One thread takes turns: all who race decide before the first of them writes, each time the same.
        tokio::task::yield_now().await;
        let first = self.next.lock().unwrap().take();
        if let Some(act) = first {
            self.write(Deed { act, audit: Vec::new() }).await?;
        }
        self.write(deed).await
    }

    async fn invitation(
        &self,
        hash: &str,
        now: u64,
    ) -> Result<Option<portcullis_authority::invitations::Invitation>, Trouble> {
        self.memory.invitation(hash, now).await
    }

    async fn invitations_of(
        &self,
        person: &str,
    ) -> Result<Vec<portcullis_authority::invitations::Invitation>, Trouble> {
        self.memory.invitations_of(person).await
    }

    async fn code(&self, hash: &str) -> Result<Option<CodeRow>, Trouble> {
        self.memory.code(hash).await
    }

    async fn family(&self, id: &str) -> Result<Option<Family>, Trouble> {
        self.memory.family(id).await
    }

    async fn session(&self, hash: &str) -> Result<Option<Session>, Trouble> {
        self.memory.session(hash).await
    }

    async fn factor(&self, person: &str) -> Result<Option<PersonFactor>, Trouble> {
        self.memory.factor(person).await
    }
}

#[async_trait]
impl Survey for Books {
    async fn key_chain(&self) -> Result<KeyChain, Trouble> {
        self.memory.key_chain().await
    }

    async fn live_logins(&self, whose: &Whose, now: u64, most: usize) -> Result<Vec<Family>, Trouble> {
        self.memory.live_logins(whose, now, most).await
    }

    async fn issued(&self, whose: &Whose, since: u64) -> Result<Issued, Trouble> {
        self.memory.issued(whose, since).await
    }

    async fn live_sessions(&self, person: &str, now: u64) -> Result<u64, Trouble> {
        self.memory.live_sessions(person, now).await
    }

    async fn logins_ended(&self, person: &str, reason: &str) -> Result<u64, Trouble> {
        self.memory.logins_ended(person, reason).await
    }

    async fn proposal(&self, id: &str) -> Result<Option<Proposal>, Trouble> {
        self.memory.proposal(id).await
    }

    async fn proposals(&self, open: bool, most: usize) -> Result<Vec<Proposal>, Trouble> {
        self.memory.proposals(open, most).await
    }

    async fn proposals_of(&self, proposer: &str) -> Result<Vec<Proposal>, Trouble> {
        self.memory.proposals_of(proposer).await
    }

    async fn broken_glass(&self) -> Result<Vec<Proposal>, Trouble> {
        self.memory.broken_glass().await
    }
}

/// What has ended.
#[derive(Default)]
struct Ended {
    ids: Mutex<HashSet<String>>,
    least: Mutex<HashMap<(Scope, String), u32>>,
}

impl Ended {
    fn learn(&self, act: Act) {
        match act {
            Act::EndToken { jti, .. } => {
                self.ids.lock().unwrap().insert(URL_SAFE_NO_PAD.encode(jti));
            }
            Act::EndFamily { id, .. } => {
                self.ids.lock().unwrap().insert(id);
            }
            Act::Several(acts) => acts.into_iter().for_each(|act| self.learn(act)),
            Act::Amend(amendment) => amendment.changes.into_iter().for_each(|change| {
                if let Change::Raise { scope, id, exp } = change {
                    self.learn(Act::Raise { scope, id, exp });
                }
            }),
            Act::Raise { scope, id, .. } => *self.least.lock().unwrap().entry((scope, id)).or_default() += 1,
            Act::Promote { generations, least: at_least, .. } => {
                let mut least = self.least.lock().unwrap();
                let floor = (least.values().copied().max().unwrap_or(0) + generations).max(at_least);
                least.insert((Scope::Everything, String::new()), floor);
            }
            _ => {}
        }
    }

    fn by_id(&self, id: &str) -> bool {
        self.ids.lock().unwrap().contains(id)
    }

    fn by_generation(&self, scope: Scope, id: &str, held: u32) -> bool {
        self.least.lock().unwrap().get(&(scope, id.to_owned())).is_some_and(|least| *least > held)
    }
}

impl Revocations for Ended {
    fn verdict(&self, token: &Access, _: u64) -> Verdict {
        let claims = token.claims();
        let gv = claims.gv;
        let organization = claims.organization.as_ref().map(|found| found.id.as_str()).unwrap_or_default();
        let acted = claims.actors().any(|actor| self.by_generation(Scope::Actor, &actor.sub, actor.gv));
        let shown = |shown: &Shown| {
            self.by_id(&shown.jti) || self.by_generation(Scope::Client, &shown.client_id, shown.gv)
        };
        let from = claims.actors().filter_map(|actor| actor.from.as_ref()).any(shown);
        let ends = [
            (Kind::Token, self.by_id(&claims.jti) || from),
            (Kind::Family, claims.sid.as_deref().is_some_and(|sid| self.by_id(sid))),
            (Kind::Subject, self.by_generation(Scope::Subject, &claims.sub, gv.0)),
            (Kind::Client, self.by_generation(Scope::Client, &claims.client_id, gv.1)),
            (Kind::Organization, self.by_generation(Scope::Organization, organization, gv.2)),
            (Kind::Everything, self.by_generation(Scope::Everything, "", gv.3)),
            (Kind::Actor, acted),
        ];
        ends.into_iter().find(|(_, ended)| *ended).map_or(Verdict::Live, |(kind, _)| Verdict::Ended(kind))
    }
}

/// One guard a service, twice: with and without a mind for what has ended.
pub struct Glass {
    living: Vec<Guard>,
    any: Vec<Guard>,
}

impl Glass {
    pub fn new(jwks: &str, books: &Books) -> Self {
        let guard = |audience: &str, revocations: Arc<dyn Revocations>| {
            Guard::builder()
                .issuer(ISSUER)
                .audience(audience)
                .keys(KeySet::from_jwks(jwks).unwrap())
                .commerce_layer_profile(true)
                .environment(Environment::Any)
                .shared_revocations(revocations)
                .build()
                .unwrap()
        };
        Self {
            living: SERVICES.map(|name| guard(name, books.ended.clone())).into(),
            any: SERVICES.map(|name| guard(name, Arc::new(DangerNothingEnded))).into(),
        }
    }

    /// The first good word, or the last bad one.
    pub fn check(&self, token: &str, now_ms: u64) -> Result<Claims, Denied> {
        first(&self.living, token, now_ms)
    }
}

fn first(guards: &[Guard], token: &str, now_ms: u64) -> Result<Claims, Denied> {
    let mut why = Denied::Malformed("no guard was asked");
    for guard in guards {
        match guard.check_at(token, now_ms) {
            Ok(access) => return Ok(access.claims().clone()),
            Err(Denied::WrongAudience) if why != Denied::Malformed("no guard was asked") => {}
            Err(denied) => why = denied,
        }
    }
    Err(why)
}

impl Inspector for Glass {
    fn inspect(&self, token: &str, now_ms: u64) -> Result<Option<Claims>, Trouble> {
        Ok(self.check(token, now_ms).ok())
    }

    fn recognise(&self, token: &str) -> Option<Claims> {
        let genuine = |guard: &Guard| guard.danger_ever_genuine(token).ok();
        self.any.iter().find_map(genuine).map(|access| access.claims().clone())
    }

    fn permissions(&self, claims: &Claims) -> Value {
        json!({ "roles": claims.rol })
    }
}
