//! On behalf of somebody by token exchange (RFC 8693): the subject's own token is shown, and the new one
//! says who acts. It never widens scope, never outlives the subject's token, and dies with it.

use async_trait::async_trait;
use portcullis_guard::Claims;
use portcullis_guard::claims::Actor;

use super::{Grant, jwt_bearer};
use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::{Entitlement, Subject, share};
use crate::refusal::{Code, Not, Refusal};
use crate::registry::{Application, Scope, Who};
use crate::scope;

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
        let subject = look_at(desk, ask, "subject_token", "subject_token_type")?;
        let organization = subject.organization.as_ref().map(|organization| organization.id.as_str());
        if organization != Some(caller.application().organization.as_str()) {
            return Err(dead("subject_token of another organization").into());
        }
        let owner = subject.owner.clone().ok_or_else(|| {
            Refusal::new(
                Code::InvalidRequest,
                "The subject_token stands for nobody: it has no customer or user.",
            )
        })?;
        let listed = &caller.application().on_behalf_of.owner_types;
        if !(listed.is_empty() || listed.contains(&owner.kind)) {
            let sentence = "This application may not act on behalf of an owner of this type.";
            return Err(Refusal::new(Code::UnauthorizedClient, sentence).into());
        }
        let act = chain(desk, caller, ask, &subject).await?;
        let text = narrowed(ask.get("scope"), &subject.scope)?;
        let person = desk.registry.person(Who::Id(&owner.id)).await?.filter(|person| !person.disabled);
        let person = person.ok_or_else(|| dead("the subject is no longer active"))?;
        let directory = caller.directory();
        let group = person.customer_group.as_deref();
        let reach = scope::resolve(Some(&text), caller.application(), directory, group)?;
        let mut entitlement = Entitlement::of(caller, reach, self.name(), desk.now());
        // The subject's generation stays the one of the token that was shown: never newer, so that a
        // revocation of the subject that races with this exchange wins.
        entitlement.gv.0 = subject.gv.0;
        entitlement.roles = subject.rol.clone();
        entitlement
            .roles
            .extend(share(directory, caller.application()).filter(|role| !subject.rol.contains(role)));
        entitlement.subject = Subject::Owner(owner.kind, owner.id);
        entitlement.custom_claim = subject.custom_claim.clone();
        entitlement.sid = subject.sid.clone();
        entitlement.not_after = Some(subject.exp);
        entitlement.act = Some(act);
        Ok(entitlement)
    }
}

/// The caller acts; below it stands whoever the actor_token names, and below that who acted before.
async fn chain(desk: &Desk, caller: &Caller, ask: &Ask, subject: &Claims) -> Result<Box<Actor>, Not> {
    let mut below = subject.act.clone();
    if ask.get("actor_token").is_some() {
        let actor = look_at(desk, ask, "actor_token", "actor_token_type")?;
        if actor.client_id != caller.application().client_id || actor.act.is_some() {
            return Err(dead("actor_token of another client, or delegated itself").into());
        }
        if actor.sub != caller.subject() {
            let gv = match desk.registry.person(Who::Id(&actor.sub)).await? {
                Some(person) if !person.disabled => person.actor_generation,
                _ => return Err(dead("the actor is no longer active").into()),
            };
            let from = Some(actor.jti);
            below =
                Some(Box::new(Actor { sub: actor.sub, client_id: actor.client_id, gv, from, act: below }));
        }
    } else if ask.get("actor_token_type").is_some() {
        return Err(Refusal::new(Code::InvalidRequest, "actor_token_type goes with actor_token.").into());
    }
    let top = Actor { from: Some(subject.jti.clone()), act: below, ..jwt_bearer::actor(caller) };
    let subs: Vec<&str> = std::iter::successors(Some(&top), |actor| actor.act.as_deref())
        .map(|actor| actor.sub.as_str())
        .collect();
    if subs.len() > MAX_ACTORS {
        let sentence = format!("At most {MAX_ACTORS} may act for a subject one after another.");
        return Err(Refusal::new(Code::InvalidRequest, sentence).into());
    }
    let mut unique = subs.clone();
    unique.sort_unstable();
    unique.dedup();
    if unique.len() < subs.len() || subs.contains(&subject.sub.as_str()) {
        return Err(Refusal::new(Code::InvalidRequest, "Nobody may stand twice in a chain of actors.").into());
    }
    let ended = |sub: &&str| caller.directory().generation(Scope::Actor, sub) > generation_in(&top, sub);
    if subs.iter().any(ended) {
        return Err(dead("an actor in the chain has ended").into());
    }
    Ok(Box::new(top))
}

fn generation_in(top: &Actor, sub: &str) -> u32 {
    std::iter::successors(Some(top), |actor| actor.act.as_deref())
        .find(|actor| actor.sub == sub)
        .map_or(0, |actor| actor.gv)
}

/// A token of ours that is alive, checked as a service would check it.
fn look_at(desk: &Desk, ask: &Ask, name: &'static str, kind: &'static str) -> Result<Claims, Not> {
    if !matches!(ask.need(kind)?, ACCESS_TOKEN | JWT) {
        let sentence = format!("The {kind} must be {ACCESS_TOKEN}.");
        return Err(Refusal::new(Code::InvalidRequest, sentence).into());
    }
    let found = desk.inspector.inspect(ask.need(name)?, desk.clock.now_ms())?;
    found.ok_or_else(|| dead("not a live access token of ours").into())
}

fn refuse_other_kinds(ask: &Ask) -> Result<(), Refusal> {
    if ask.get("requested_token_type").is_some_and(|kind| !matches!(kind, ACCESS_TOKEN | JWT)) {
        return Err(Refusal::new(Code::InvalidRequest, "Only an access token can be had in exchange."));
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

/// The scope asked for, if every part of it is in the subject's.
fn narrowed(asked: Option<&str>, held: &str) -> Result<String, Refusal> {
    let Some(asked) = asked else { return Ok(held.to_owned()) };
    if scope::parts(asked).all(|part| scope::parts(held).any(|h| h == part)) {
        return Ok(asked.to_owned());
    }
    Err(Refusal::new(
        Code::InvalidScope,
        "The scope is wider than the subject_token's; ask for the same or less.",
    ))
}

fn dead(cause: &'static str) -> Refusal {
    Refusal::new(
        Code::InvalidGrant,
        "A token that was sent is not good here: it is not ours, expired, revoked, or not for this use.",
    )
    .because(cause)
}
