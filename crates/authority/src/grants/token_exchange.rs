//! On behalf of somebody by token exchange (RFC 8693): the subject's own token is shown, and the new one
//! says who acts. It never widens scope, audience or environment, never outlives a token that was shown, and
//! dies with the subject's.
//!
//! RFC 8693 section 4.4 has `may_act`: a subject_token may name who alone may act for its subject. Ours never
//! say it (who may act is the operator's word, `on_behalf_of`, and custom claims cannot set it), and only ours
//! are taken here, so there is nothing to compare.

use async_trait::async_trait;
use portcullis_guard::claims::{Actor, Shown};
use portcullis_guard::{Claims, Unverified};

use super::{Grant, jwt_bearer};
use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::{Entitlement, Subject, admit};
use crate::refusal::{Code, Not, Refusal};
use crate::registry::{Application, Mode, Scope, Who};
use crate::scope::{self, Reach};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// How many may stand in a chain of actors.
const MAX_ACTORS: usize = 3;

pub struct TokenExchange;

#[async_trait]
impl Grant for TokenExchange {
    fn name(&self) -> &'static str {
        "urn:ietf:params:oauth:grant-type:token-exchange"
    }

    fn allows(&self, application: &Application) -> bool {
        super::serves_an_organization(application) && application.confidential
    }

    async fn decide(&self, desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Entitlement, Not> {
        super::may_act_for_others(caller)?;
        refuse_other_kinds(ask)?;
        let (subject, shown) = look_at(desk, ask, "subject_token", "subject_token_type")?;
        let organization = subject.organization.as_ref().map(|organization| organization.id.as_str());
        if organization != Some(caller.application().organization.as_str()) {
            return Err(dead("subject_token of another organization").into());
        }
        let owner = subject.owner.clone().ok_or_else(|| {
            Refusal::new(
                Code::InvalidRequest,
                "The subject_token stands for nobody; send one that has a customer or user as its owner.",
            )
        })?;
        let (application, directory) = (caller.application(), caller.directory());
        super::may_act_for(application, owner.kind)?;
        same_world(desk, caller, &subject)?;
        let chain = chain(desk, caller, ask, (&subject, shown)).await?;
        let owned_by = (owner.kind, owner.id.as_str());
        let admitted = admit(desk, directory, application, owned_by, Code::InvalidGrant).await?;
        let reach = reach(ask, caller, &subject, admitted.person.customer_group.as_deref())?;
        let reach = admitted.within(reach, directory, &application.organization)?;
        let mut entitlement = Entitlement::of(caller, reach, self.name(), desk.now());
        // The subject's generation stays the one of the token that was shown: never newer, so that a
        // revocation of the subject that races with this exchange wins.
        entitlement.gv.0 = subject.gv.0;
        // All must allow: what the subject had when it signed in, what it has today, and the caller's share.
        let narrowing = admitted.roles_through(directory, application).into_iter();
        entitlement.roles = subject.rol.clone();
        entitlement.roles.extend(narrowing.filter(|role| !subject.rol.contains(role)));
        entitlement.subject = Subject::Owner(owner.kind, owner.id);
        entitlement.custom_claim = subject.custom_claim.clone();
        entitlement.sid = subject.sid.clone();
        entitlement.not_after = Some(chain.not_after);
        entitlement.act = Some(chain.act);
        Ok(entitlement)
    }
}

/// The subject_token must be of the caller's own environment and meant for a service that the caller's
/// tokens are for, and nobody through whom it came may be gone: what is refused to a token must not come
/// back in another one.
fn same_world(desk: &Desk, caller: &Caller, subject: &Claims) -> Result<(), Refusal> {
    let application = caller.application();
    if subject.test != (application.mode == Mode::Test) {
        return Err(dead("subject_token of the other environment"));
    }
    let audience = match application.audience.is_empty() {
        true => &desk.terms.audience,
        false => &application.audience,
    };
    if !subject.aud.iter().any(|service| audience.contains(service)) {
        return Err(dead("subject_token for another audience"));
    }
    let directory = caller.directory();
    let gone = |id: &str| directory.application(id).is_none_or(|application| application.disabled);
    if gone(&subject.client_id) || subject.actors().any(|actor| gone(&actor.client_id)) {
        return Err(dead("an application through which the subject_token came is no longer active"));
    }
    Ok(())
}

/// Who acts, and until when at most, seconds.
struct Chain {
    act: Box<Actor>,
    not_after: u64,
}

/// The caller acts; below it stands whoever the actor_token names, and below that who acted before.
async fn chain(
    desk: &Desk,
    caller: &Caller,
    ask: &Ask,
    (subject, shown): (&Claims, Shown),
) -> Result<Chain, Not> {
    let mut below = subject.act.clone();
    let mut not_after = subject.exp;
    if ask.get("actor_token").is_some() {
        let (actor, shown) = look_at(desk, ask, "actor_token", "actor_token_type")?;
        if actor.client_id != caller.application().client_id || actor.act.is_some() {
            return Err(dead("actor_token of another client, or delegated itself").into());
        }
        not_after = not_after.min(actor.exp);
        if actor.sub != caller.subject() {
            let gv = match desk.registry.person(Who::Id(&actor.sub)).await? {
                Some(person) if !person.disabled && person.generation == actor.gv.0 => {
                    person.actor_generation
                }
                _ => return Err(dead("the actor is no longer active").into()),
            };
            let from = Some(shown);
            below =
                Some(Box::new(Actor { sub: actor.sub, client_id: actor.client_id, gv, from, act: below }));
        }
    } else if ask.get("actor_token_type").is_some() {
        return Err(Refusal::new(Code::InvalidRequest, "actor_token_type goes with actor_token.").into());
    }
    let top = Actor { from: Some(shown), act: below, ..jwt_bearer::actor(caller) };
    let subs: Vec<&str> = std::iter::successors(Some(&top), |actor| actor.act.as_deref())
        .map(|actor| actor.sub.as_str())
        .collect();
    if subs.len() > MAX_ACTORS {
        let sentence = format!(
            "At most {MAX_ACTORS} may act for a subject one after another; exchange a token with fewer actors."
        );
        return Err(Refusal::new(Code::InvalidRequest, sentence).into());
    }
    let mut unique = subs.clone();
    unique.sort_unstable();
    unique.dedup();
    if unique.len() < subs.len() || subs.contains(&subject.sub.as_str()) {
        let sentence = "Nobody may stand twice in a chain of actors; use the token that you have.";
        return Err(Refusal::new(Code::InvalidRequest, sentence).into());
    }
    let ended = |sub: &&str| caller.directory().generation(Scope::Actor, sub) > generation_in(&top, sub);
    if subs.iter().any(ended) {
        return Err(dead("an actor in the chain has ended").into());
    }
    Ok(Chain { act: Box::new(top), not_after })
}

fn generation_in(top: &Actor, sub: &str) -> u32 {
    std::iter::successors(Some(top), |actor| actor.act.as_deref())
        .find(|actor| actor.sub == sub)
        .map_or(0, |actor| actor.gv)
}

/// A token of ours that is alive, checked as a service would check it, and how it will be remembered.
fn look_at(desk: &Desk, ask: &Ask, name: &'static str, kind: &'static str) -> Result<(Claims, Shown), Not> {
    if !matches!(ask.need(kind)?, ACCESS_TOKEN | JWT) {
        let sentence = format!("The {kind} must be {ACCESS_TOKEN}.");
        return Err(Refusal::new(Code::InvalidRequest, sentence).into());
    }
    let token = ask.need(name)?;
    let claims = desk.inspector.inspect(token, desk.clock.now_ms())?;
    let claims = claims.ok_or_else(|| dead("not a live access token of ours"))?;
    // The header of a token whose signature held, so its key id is the key's.
    let kid = Unverified::parse(token).ok().and_then(|token| token.key_id().map(str::to_owned));
    let shown = Shown {
        jti: claims.jti.clone(),
        client_id: claims.client_id.clone(),
        gv: claims.gv.1,
        kid: kid.ok_or_else(|| dead("a token without a key id"))?,
        sid: claims.sid.clone(),
    };
    Ok((claims, shown))
}

fn refuse_other_kinds(ask: &Ask) -> Result<(), Refusal> {
    if ask.get("requested_token_type").is_some_and(|kind| !matches!(kind, ACCESS_TOKEN | JWT)) {
        let sentence = "Only an access token can be had in exchange; leave out requested_token_type.";
        return Err(Refusal::new(Code::InvalidRequest, sentence));
    }
    if ask.get("resource").or(ask.get("audience")).is_some() {
        // The audience is the application's own, decided by the operator (RFC 8693 section 2.2.2).
        return Err(Refusal::new(
            Code::InvalidTarget,
            "The audience of this application's tokens is fixed; leave out resource and audience.",
        ));
    }
    Ok(())
}

/// The reach that is asked for, if the subject's token and the caller both have it; without a scope, the
/// very reach of the subject's token.
fn reach(ask: &Ask, caller: &Caller, subject: &Claims, group: Option<&str>) -> Result<Reach, Refusal> {
    let held =
        Reach { text: subject.scope.clone(), market: subject.market.clone(), can: subject.perm.clone() };
    let text = ask.get("scope").unwrap_or(&held.text);
    let reach = scope::resolve(Some(text), caller.application(), caller.directory(), group)?;
    if text == held.text {
        return Ok(held.in_common_with(&reach));
    }
    reach.within(&held).ok_or_else(|| {
        Refusal::new(
            Code::InvalidScope,
            "The scope is wider than the subject_token's; ask for the same or less.",
        )
    })
}

fn dead(cause: &'static str) -> Refusal {
    Refusal::new(
        Code::InvalidGrant,
        "A token that was sent is not good here: it is not ours, expired, revoked, or not for this use. Get a new one.",
    )
    .because(cause)
}
