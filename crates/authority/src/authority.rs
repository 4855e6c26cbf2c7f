//! The Authority: the one object that the server talks to. It finds the grant, proves the client, lets
//! the grant decide, and has the mint issue; the other endpoints are a call each.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use url::Url;

use crate::ask::{Ask, Origin};
use crate::audit;
use crate::authorize::{self, Consent, Entered, Half, SignedIn, Turned, Visitor};
use crate::client::{self, Caller};
use crate::desk::Desk;
use crate::endings;
use crate::grants;
use crate::introspect;
use crate::keyring::Keyring;
use crate::ledger::{Act, Deed, Position};
use crate::mint::{self, Issued, TokenReply};
use crate::own_password;
use crate::refusal::{Code, Not, Refusal, Trouble};
use crate::registry::{Application, ApplicationKind};
use crate::secret::Secret;

/// How often a login may change under our hands before we say that we are busy.
const ATTEMPTS: usize = 8;

/// Issues, ends and explains tokens.
pub struct Authority {
    desk: Desk,
    keyring: Arc<ArcSwap<Keyring>>,
}

impl Authority {
    pub fn new(desk: Desk, keyring: Keyring) -> Self {
        Self::sharing(desk, Arc::new(ArcSwap::from_pointee(keyring)))
    }

    /// With keys that somebody else changes.
    pub fn sharing(desk: Desk, keyring: Arc<ArcSwap<Keyring>>) -> Self {
        Self { desk, keyring }
    }

    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.load_full()
    }

    /// `POST /oauth/token` (RFC 6749 section 3.2).
    ///
    /// # Errors
    /// A refusal of RFC 6749 section 5.2, RFC 8693 or the vendor, or trouble.
    pub async fn token(&self, ask: &Ask) -> Result<TokenReply, Not> {
        let mut caller = None;
        let answer = self.try_token(ask, &mut caller).await;
        if let Err(Not::Refused(refusal)) = &answer {
            self.desk.limits.failed(&self.desk, ask, caller.as_ref(), refusal)?;
            let record = audit::refused("token.refused", refusal, ask, caller.as_ref(), &self.desk);
            self.desk.ledger.commit(Deed::new(Act::Note, record)).await?;
        }
        answer
    }

    async fn try_token(&self, ask: &Ask, proved: &mut Option<Caller>) -> Result<TokenReply, Not> {
        let grant = grants::find(ask.need("grant_type")?)?;
        let caller = proved.insert(Caller::admit(&self.desk, ask)?);
        if !grant.allows(caller.application()) {
            return Err(not_for_this_kind(grant.name(), caller.application()).into());
        }
        for _ in 0..ATTEMPTS {
            let entitlement = grant.decide(&self.desk, caller, ask).await?;
            match mint::issue(&self.desk, &self.keyring.load(), entitlement, &ask.origin).await? {
                Issued::Token(reply) => return Ok(*reply),
                Issued::Lost => {}
            }
        }
        Err(Trouble::new("mint", "the login kept changing").into())
    }

    /// `POST /oauth/revoke` (RFC 7009): where the feed stands once the token is dead, or `None` when there
    /// was nothing to end. After `Ok` it is on disk.
    ///
    /// # Errors
    /// `unauthorized_client`, `invalid_request`, or trouble; then nothing has ended.
    pub async fn revoke(&self, ask: &Ask) -> Result<Option<Position>, Not> {
        endings::revoke(&self.desk, ask).await
    }

    /// `POST /oauth/introspect` (RFC 7662).
    ///
    /// # Errors
    /// `invalid_client` without a client that has proved itself by secret.
    pub async fn introspect(&self, ask: &Ask) -> Result<Value, Not> {
        introspect::introspect(&self.desk, ask).await
    }

    /// `GET /oauth/tokeninfo`, the vendor's description of the bearer's own token.
    ///
    /// # Errors
    /// `invalid_token` for anything that is not a live access token of ours.
    pub async fn token_info(&self, bearer: &str) -> Result<Value, Not> {
        introspect::token_info(&self.desk, bearer).await
    }

    /// The public keys (RFC 7517), as text.
    pub fn jwks(&self) -> String {
        self.keyring.load().published().to_owned()
    }

    /// Server metadata (RFC 8414 section 2).
    pub fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.desk.terms.issuer);
        let names: Vec<_> = grants::ROSTER.iter().map(|grant| grant.name()).collect();
        let by_secret = ["client_secret_basic", "client_secret_post"];
        json!({
            "issuer": self.desk.terms.issuer,
            "authorization_endpoint": at("/oauth/authorize"),
            "token_endpoint": at("/oauth/token"),
            "jwks_uri": at("/.well-known/jwks.json"),
            "scopes_supported": [crate::scope::ALL, crate::scope::PROVISIONING],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": names,
            "token_endpoint_auth_methods_supported": [by_secret[0], by_secret[1], "none"],
            "revocation_endpoint": at("/oauth/revoke"),
            "revocation_endpoint_auth_methods_supported": [by_secret[0], by_secret[1], "none"],
            "introspection_endpoint": at("/oauth/introspect"),
            "introspection_endpoint_auth_methods_supported": by_secret,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// Whether this guard may follow the feed.
    ///
    /// # Errors
    /// `too_many_requests` after too many wrong secrets.
    pub fn guard_may_follow(&self, id: &str, secret: &Secret, origin: &Origin) -> Result<bool, Refusal> {
        introspect::is_guard(&self.desk, id, secret, origin)
    }

    /// Writes down that somebody was refused who asked as a guard. Only a guard of ours is named.
    ///
    /// # Errors
    /// Trouble only.
    pub async fn note_refused_guard(
        &self,
        id: Option<&str>,
        refusal: &Refusal,
        origin: &Origin,
    ) -> Result<(), Trouble> {
        let mut record = audit::event("guard.refused", self.desk.now(), origin);
        let known = id.filter(|id| self.desk.registry.directory().guard(id).is_some());
        record.client_id = known.map(|id| format!("guard:{id}"));
        record.reason = Some(refusal.code.as_str().to_owned());
        self.desk.ledger.commit(Deed::new(Act::Note, record)).await.map(drop)
    }

    /// The application's backend names a visitor, and proves with its key that it may: then limits count the
    /// visitor and not the backend. Anything else is not heard.
    pub fn hear_visitor(&self, ask: &mut Ask, visitor: &str, key: &Secret) {
        client::hear_visitor(&self.desk, ask, visitor, key);
    }

    /// See [`authorize::consider`].
    ///
    /// # Errors
    /// [`Turned`], towards the person or the client.
    pub fn consider(&self, ask: &Ask) -> Result<Consent, Turned> {
        authorize::consider(&self.desk, ask)
    }

    /// See [`authorize::sign_in`].
    ///
    /// # Errors
    /// `access_denied` in the same words for every reason, or trouble.
    pub async fn sign_in(
        &self,
        consent: &Consent,
        email: &str,
        password: Secret,
        origin: &Origin,
    ) -> Result<Entered, Not> {
        authorize::sign_in(&self.desk, consent, email, password, origin).await
    }

    /// See [`authorize::sign_in_second`].
    ///
    /// # Errors
    /// A refusal in the same words for every reason, or trouble.
    pub async fn sign_in_second(
        &self,
        consent: &Consent,
        half: &Half,
        code: &Secret,
        origin: &Origin,
    ) -> Result<Entered, Not> {
        authorize::sign_in_second(&self.desk, consent, half, code, origin).await
    }

    /// See [`own_password::choose`].
    ///
    /// # Errors
    /// A refusal that says why, or trouble.
    pub async fn choose_password(
        &self,
        consent: &Consent,
        half: &Half,
        password: Secret,
        origin: &Origin,
    ) -> Result<SignedIn, Not> {
        own_password::choose(&self.desk, consent, half, password, origin).await
    }

    /// See [`authorize::signed_in`].
    ///
    /// # Errors
    /// Trouble only.
    pub async fn signed_in(&self, consent: &Consent, cookie: &str) -> Result<Option<Visitor>, Trouble> {
        authorize::signed_in(&self.desk, consent, cookie).await
    }

    /// See [`authorize::sign_out`].
    ///
    /// # Errors
    /// Trouble only.
    pub async fn sign_out(&self, cookie: &str, origin: &Origin) -> Result<(), Trouble> {
        authorize::sign_out(&self.desk, cookie, origin).await
    }

    /// See [`authorize::approve`].
    ///
    /// # Errors
    /// `access_denied` or trouble.
    pub async fn approve(&self, consent: &Consent, visitor: &Visitor, origin: &Origin) -> Result<Url, Not> {
        authorize::approve(&self.desk, consent, visitor, origin).await
    }

    /// See [`authorize::decline`]; `code` is `access_denied` or `login_required`.
    ///
    /// # Errors
    /// Trouble only.
    pub async fn decline(
        &self,
        consent: &Consent,
        why: (Code, Option<&Visitor>),
        origin: &Origin,
    ) -> Result<Url, Not> {
        authorize::decline(&self.desk, consent, why, origin).await
    }
}

fn not_for_this_kind(grant: &str, application: &Application) -> Refusal {
    let sentence = match (grant, application.kind) {
        ("password", ApplicationKind::SalesChannel) => {
            "The password grant is switched off for this application; an operator can allow it.".to_owned()
        }
        (grant, kind) => {
            format!("An application of kind {} may not use the grant {grant}; use another.", kind.as_str())
        }
    };
    Refusal::new(Code::UnauthorizedClient, sentence)
}
