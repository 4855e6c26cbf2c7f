//! On behalf of somebody by assertion (RFC 7523): the application proves itself with its own secret and
//! names a customer or user. The token says who acts, and its rights are the intersection of both.

use async_trait::async_trait;
use portcullis_guard::claims::Actor;

use super::{Grant, assertion};
use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::{Entitlement, Promise, Subject, Via, admit, own_roles};
use crate::refusal::{Code, Not};
use crate::registry::{Application, Scope};
use crate::scope;

pub struct JwtBearer;

#[async_trait]
impl Grant for JwtBearer {
    fn name(&self) -> &'static str {
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    }

    fn allows(&self, application: &Application) -> bool {
        super::serves_an_organization(application)
    }

    async fn decide(&self, desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Entitlement, Not> {
        let text = ask.need("assertion")?;
        super::may_act_for_others(caller)?;
        let now = desk.now();
        let assertion = assertion::read(text, caller, &desk.terms.issuer, now)?;
        let (application, directory) = (caller.application(), caller.directory());
        let mut admitted = None;
        let mut roles = own_roles(directory, application);
        let (mut subject, mut generation, mut act) = (Subject::Client, 0, None);
        if let Some((kind, id)) = &assertion.owner {
            super::may_act_for(application, *kind)?;
            let owner = (*kind, id.as_str());
            let found = admit(desk, directory, application, owner, Code::InvalidGrant).await?;
            roles = found.roles_through(directory, application);
            subject = Subject::Owner(*kind, found.person.id.clone());
            generation = found.person.generation;
            act = Some(Box::new(actor(caller)));
            admitted = Some(found);
        }
        let group = admitted.as_ref().and_then(|found| found.person.customer_group.as_deref());
        let mut reach = scope::resolve(ask.get("scope"), application, directory, group)?;
        if let Some(found) = &admitted {
            reach = found.within(reach, directory, &application.organization)?;
        }
        let mut entitlement = Entitlement::of(caller, reach, self.name(), now);
        entitlement.gv.0 = generation;
        entitlement.subject = subject;
        entitlement.roles = roles;
        entitlement.act = act;
        entitlement.custom_claim = assertion.custom_claim;
        entitlement.promise = Promise::Login(match assertion.once {
            Some(once) => Via::Assertion { digest: once.digest, exp: once.exp },
            None => Via::Plain,
        });
        Ok(entitlement)
    }
}

/// The caller as the one who acts (RFC 8693 section 4.1).
pub(super) fn actor(caller: &Caller) -> Actor {
    let sub = caller.subject();
    let gv = caller.directory().generation(Scope::Actor, &sub);
    Actor { sub, client_id: caller.application().client_id.clone(), gv, from: None, act: None }
}
