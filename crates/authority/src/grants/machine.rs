//! What oxide-auth's state machines see of a request: one settled client and never a secret.
//!
//! We drive the machines ourselves, so that errors, clock and lifetimes are ours: each `advance` says what
//! it needs, and our own steps answer. The client has been authenticated before a machine is made.

use std::borrow::Cow;

use oxide_auth::code_grant::error::AccessTokenErrorType;
use oxide_auth::code_grant::{accesstoken, client_credentials, refresh};
use oxide_auth::primitives::registrar::RegisteredUrl;

use crate::ask::Ask;
use crate::refusal::{Code, Refusal};

/// A token request of a client that is already proved.
pub struct Settled<'a> {
    pub ask: &'a Ask,
    pub client_id: &'a str,
    /// The redirect of the code, for requests that need not repeat it (RFC 6749 section 4.1.3 asks for it
    /// only if the authorization request named one; oxide-auth always insists).
    pub redirect_uri: Option<&'a str>,
}

/// Stands where a machine wants a password that it must not see.
const PROVED: &[u8] = b"proved";

impl Settled<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.ask.get(name).map(Cow::Borrowed)
    }

    /// A parameter beside those of the grant. Not the client's: a machine that finds it in the body as well
    /// as in `authorization` sees two credentials and refuses.
    fn beside(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).filter(|_| !name.starts_with("client_"))
    }
}

impl accesstoken::Request for Settled<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn code(&self) -> Option<Cow<'_, str>> {
        self.get("code")
    }
    fn authorization(&self) -> accesstoken::Authorization<'_> {
        accesstoken::Authorization::Username(Cow::Borrowed(self.client_id))
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        None // with a name in the body as well, the machine sees two credentials and refuses
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        redirect_of(self.ask).map(Cow::Borrowed).or(self.redirect_uri.map(Cow::Borrowed))
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        self.get("grant_type")
    }
    fn extension(&self, name: &str) -> Option<Cow<'_, str>> {
        self.beside(name)
    }
}

impl refresh::Request for Settled<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn refresh_token(&self) -> Option<Cow<'_, str>> {
        self.get("refresh_token")
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.get("scope")
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        self.get("grant_type")
    }
    fn authorization(&self) -> Option<(Cow<'_, str>, Cow<'_, [u8]>)> {
        Some((Cow::Borrowed(self.client_id), Cow::Borrowed(PROVED)))
    }
    fn extension(&self, name: &str) -> Option<Cow<'_, str>> {
        self.beside(name)
    }
}

impl client_credentials::Request for Settled<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn authorization(&self) -> Option<(Cow<'_, str>, Cow<'_, [u8]>)> {
        Some((Cow::Borrowed(self.client_id), Cow::Borrowed(PROVED)))
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.get("scope")
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        self.get("grant_type")
    }
    fn extension(&self, name: &str) -> Option<Cow<'_, str>> {
        self.beside(name)
    }
}

/// The redirect of a token request. Users of the vendor's client follow its manual and send
/// `callback_url`, so that is taken too.
pub fn redirect_of(ask: &Ask) -> Option<&str> {
    ask.get("redirect_uri").or_else(|| ask.get("callback_url"))
}

/// Some address for machines that insist on one where none is used.
pub fn nowhere() -> RegisteredUrl {
    RegisteredUrl::Semantic("urn:portcullis:nowhere".parse().expect("the text is a URL"))
}

/// A machine's own refusal in our words.
pub fn refused(kind: Option<AccessTokenErrorType>) -> Refusal {
    let (code, sentence) = match kind {
        Some(AccessTokenErrorType::InvalidClient) => (Code::InvalidClient, "Client authentication failed."),
        Some(AccessTokenErrorType::InvalidGrant) => {
            (Code::InvalidGrant, "The grant was not made to this client, or not for this redirect_uri.")
        }
        Some(AccessTokenErrorType::UnauthorizedClient) => {
            (Code::UnauthorizedClient, "This application may not use this grant.")
        }
        Some(AccessTokenErrorType::UnsupportedGrantType) => {
            (Code::UnsupportedGrantType, "The grant_type is unknown.")
        }
        Some(AccessTokenErrorType::InvalidScope) => {
            (Code::InvalidScope, "The scope is wider than what was granted; ask for the same or less.")
        }
        Some(AccessTokenErrorType::InvalidRequest) | None => {
            (Code::InvalidRequest, "The token request lacks a parameter or has one that cannot be read.")
        }
    };
    Refusal::new(code, sentence)
}
