//! Client credentials (RFC 6749 section 4.4): an application by itself. It earns no refresh token.

use std::borrow::Cow;

use async_trait::async_trait;
use oxide_auth::code_grant::client_credentials::{ClientCredentials as Machine, Error, Input, Output};
use oxide_auth::primitives::grant::Extensions;
use oxide_auth::primitives::registrar::{BoundClient, PreGrant};
use portcullis_guard::claims::OwnerKind;

use super::{Grant, machine};
use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::{Entitlement, Subject, own_roles};
use crate::refusal::{Code, Not, Refusal};
use crate::registry::{Application, ApplicationKind, Person, Who};
use crate::scope;

pub struct ClientCredentials;

#[async_trait]
impl Grant for ClientCredentials {
    fn name(&self) -> &'static str {
        "client_credentials"
    }

    fn allows(&self, application: &Application) -> bool {
        application.kind != ApplicationKind::Webapp
    }

    async fn decide(&self, desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Entitlement, Not> {
        let application = caller.application();
        let reach = scope::resolve(ask.get("scope"), application, caller.directory(), None)?;
        settle(caller, ask, &reach.text)?;
        let mut entitlement = Entitlement::of(caller, reach, self.name(), desk.now());
        entitlement.roles = own_roles(caller.directory(), application);
        if application.kind == ApplicationKind::User {
            let person = behind(desk, application).await?;
            entitlement.gv.0 = person.generation;
            entitlement.subject = Subject::User(person.id);
        }
        Ok(entitlement)
    }
}

/// The person of a personal credential; without one it would be a credential of nobody, which no offboarding
/// could find.
async fn behind(desk: &Desk, application: &Application) -> Result<Person, Not> {
    let found = match &application.user {
        Some(user) => desk.registry.person(Who::Id(user)).await?,
        None => None,
    };
    let found = found.filter(|person| !person.disabled && person.kind == OwnerKind::User);
    let sentence = "The person behind this credential is not active; use a credential of somebody who is.";
    found.ok_or_else(|| Refusal::new(Code::UnauthorizedClient, sentence).into())
}

/// Runs the machine; what it asks for has been settled by our own steps.
fn settle(caller: &Caller, ask: &Ask, granted: &str) -> Result<(), Refusal> {
    let client_id = &caller.application().client_id;
    let request = machine::Settled { ask, client_id, redirect_uri: None };
    let mut run = Machine::new(&request);
    let mut input = Input::None;
    loop {
        input = match run.advance(input) {
            Output::Authenticate { .. } => Input::Authenticated,
            Output::Binding { .. } => Input::Bound {
                bound_client: BoundClient {
                    client_id: Cow::Owned(client_id.clone()),
                    redirect_uri: Cow::Owned(machine::nowhere()),
                },
            },
            Output::Extend => Input::Extended { extensions: Extensions::new() },
            Output::Negotiate { .. } => Input::Negotiated {
                pre_grant: PreGrant {
                    client_id: client_id.clone(),
                    redirect_uri: machine::nowhere(),
                    scope: granted.parse().map_err(|_| {
                        Refusal::new(
                            Code::InvalidScope,
                            "The scope has a character that a scope cannot have.",
                        )
                    })?,
                },
            },
            Output::Ok { .. } => return Ok(()),
            Output::Err(error) => return Err(machine::refused(kind_of(*error))),
        };
    }
}

fn kind_of(mut error: Error) -> Option<oxide_auth::code_grant::error::AccessTokenErrorType> {
    error.description().map(|description| description.kind())
}
