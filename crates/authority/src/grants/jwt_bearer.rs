//! On behalf of somebody by assertion (RFC 7523): the application proves itself with its own secret and
//! names a customer or user. The token says who acts, and its rights are the intersection of both.

use async_trait::async_trait;
use portcullis_guard::claims::Actor;

use super::{Grant, assertion};
use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::{Entitlement, Promise, Subject, Via, admit, own_roles, share};
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
        let mut roles = own_roles(directory, application);
        let (mut subject, mut group, mut generation, mut act) = (Subject::Client, None, 0, None);
        if let Some((kind, id)) = &assertion.owner {
            super::may_act_for(application, *kind)?;
            let owner = (*kind, id.as_str());
            let (person, theirs) =
                admit(desk, directory, &application.organization, owner, Code::InvalidGrant).await?;
            roles = theirs;
            roles.extend(share(directory, application));
            subject = Subject::Owner(*kind, person.id);
            (group, generation) = (person.customer_group, person.generation);
            act = Some(Box::new(actor(caller)));
        }
        let reach = scope::resolve(ask.get("scope"), application, directory, group.as_deref())?;
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
