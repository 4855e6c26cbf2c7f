//! Client credentials (RFC 6749 section 4.4): an application by itself. It earns no refresh token.

use std::borrow::Cow;

use async_trait::async_trait;
use oxide_auth::code_grant::client_credentials::{ClientCredentials as Machine, Error, Input, Output};
use oxide_auth::primitives::grant::Extensions;
use oxide_auth::primitives::registrar::{BoundClient, PreGrant};

use super::{Grant, machine};
use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::{Entitlement, Subject, own_roles};
use crate::refusal::{Code, Not, Refusal};
use crate::registry::{Application, ApplicationKind, Who};
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
        if let Some(user) = application.user.as_deref().filter(|_| application.kind == ApplicationKind::User)
        {
            let person = desk.registry.person(Who::Id(user)).await?.filter(|person| !person.disabled);
            let person = person.ok_or_else(|| {
                Refusal::new(
                    Code::UnauthorizedClient,
                    "The person behind this credential is no longer active.",
                )
            })?;
            entitlement.gv.0 = person.generation;
            entitlement.subject = Subject::User(person.id);
        }
        Ok(entitlement)
    }
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
