//! One file per way of earning an entitlement. A grant sees no key and no HTTP type.
//!
//! A new grant is one file and its line in [`ROSTER`]; the metadata, the allow list and the audit words
//! all read the roster.

use async_trait::async_trait;
use portcullis_guard::claims::OwnerKind;

use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::Entitlement;
use crate::refusal::{Code, Not, Refusal};
use crate::registry::{Application, ApplicationKind};

mod assertion;
mod authorization_code;
mod client_credentials;
mod jwt_bearer;
mod machine;
mod password;
mod refresh_token;
mod token_exchange;

/// One way of earning an entitlement.
#[async_trait]
pub trait Grant: Send + Sync {
    /// The `grant_type`.
    fn name(&self) -> &'static str;
    /// Whether this application may use it.
    fn allows(&self, application: &Application) -> bool;
    /// Decides. Nothing is promised or signed yet.
    async fn decide(&self, desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Entitlement, Not>;
}

/// Every grant.
pub static ROSTER: [&dyn Grant; 6] = [
    &client_credentials::ClientCredentials,
    &password::Password,
    &authorization_code::AuthorizationCode,
    &refresh_token::RefreshToken,
    &jwt_bearer::JwtBearer,
    &token_exchange::TokenExchange,
];

/// The grant with this name.
///
/// # Errors
/// `unsupported_grant_type` (RFC 6749 section 5.2).
pub fn find(name: &str) -> Result<&'static dyn Grant, Refusal> {
    ROSTER.into_iter().find(|grant| grant.name() == name).ok_or_else(|| {
        let known: Vec<_> = ROSTER.iter().map(|grant| grant.name()).collect();
        Refusal::new(
            Code::UnsupportedGrantType,
            format!("The grant_type is not one of: {}.", known.join(", ")),
        )
    })
}

/// On behalf of somebody: switched on for the application, in an enterprise organization, with the secret
/// sent in this very request.
fn may_act_for_others(caller: &Caller) -> Result<(), Refusal> {
    still_may_act(caller)?;
    if !caller.confidential() {
        let sentence = "Acting on behalf of somebody needs the client_secret; send it with the request.";
        return Err(Refusal::new(Code::InvalidClient, sentence));
    }
    Ok(())
}

/// The part of [`may_act_for_others`] that a refresh asks again: the vendor's clients refresh without the
/// secret a login that a server began with it.
fn still_may_act(caller: &Caller) -> Result<(), Refusal> {
    let no = |sentence| Err(Refusal::new(Code::UnauthorizedClient, sentence));
    if !caller.organization().enterprise {
        return no(
            "Acting on behalf of somebody is for enterprise organizations only; an operator can switch the plan.",
        );
    }
    if !caller.application().on_behalf_of.enabled {
        return no("This application may not act on behalf of anybody; an operator can switch that on.");
    }
    Ok(())
}

/// Whether the application may act for people of this kind; customers only, unless an operator says more.
fn may_act_for(application: &Application, kind: OwnerKind) -> Result<(), Refusal> {
    let listed = &application.on_behalf_of.owner_types;
    let allowed = if listed.is_empty() { kind == OwnerKind::Customer } else { listed.contains(&kind) };
    let sentence =
        "This application may not act on behalf of an owner of this type; an operator can allow it.";
    allowed.then_some(()).ok_or_else(|| Refusal::new(Code::UnauthorizedClient, sentence))
}

/// Applications that belong to an organization's people and services, not to one person.
fn serves_an_organization(application: &Application) -> bool {
    application.kind != ApplicationKind::User
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roster_names_are_unique() {
        let mut names: Vec<_> = ROSTER.iter().map(|grant| grant.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROSTER.len());
    }
}
