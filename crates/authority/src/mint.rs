//! Turns an entitlement into tokens: cuts the access token, writes down what is promised, and only then
//! hands both out. Nothing of the access token itself is kept.

use portcullis_guard::Claims;
use portcullis_guard::claims::{self, OwnerKind};
use serde::Serialize;

use crate::ask::Origin;
use crate::audit;
use crate::desk::Desk;
use crate::endings;
use crate::entitlement::{Entitlement, Promise, Subject, Via};
use crate::handle::{Handle, HandleSecret};
use crate::keyring::Keyring;
use crate::ledger::{Act, AuditRecord, Deed, Done, Family, Proved, Rotation};
use crate::refusal::{Code, Not, Refusal, Trouble};
use crate::registry::{ApplicationKind, Mode, Profile};
use crate::secret::seal_successor;

/// The answer of the token endpoint, in the vendor's order. Its members are exact: clients compare them.
#[derive(Debug, Serialize)]
pub struct TokenReply {
    pub access_token: String,
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    pub scope: String,
    /// Seconds since the epoch.
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_type: Option<&'static str>,
    /// RFC 8693 section 2.2.1: token exchange alone says what it gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
}

/// What came of issuing.
pub enum Issued {
    Token(Box<TokenReply>),
    /// Somebody else changed the login meanwhile: decide again.
    Lost,
}

/// Issues.
///
/// # Errors
/// `invalid_grant` when a code or assertion was used before or the subject's token is over; trouble when
/// nothing could be signed or written down.
pub async fn issue(
    desk: &Desk,
    keyring: &Keyring,
    entitlement: Entitlement,
    origin: &Origin,
) -> Result<Issued, Not> {
    let now = desk.now();
    let sid = match &entitlement.promise {
        Promise::Login(_) => Some(desk.id_text()),
        _ => entitlement.sid.clone(),
    };
    let claims = claims_of(desk, &entitlement, sid, now)?;
    let access_token = cut(desk, keyring, &entitlement, &claims).await?;
    let record = audit::issued(&entitlement, &claims, origin);
    let refresh = match promise(desk, &entitlement, &claims, record, origin).await? {
        Kept::Lost => return Ok(Issued::Lost),
        Kept::Handle(handle) => handle,
    };
    let exchange = entitlement.grant.ends_with("token-exchange");
    let owner = entitlement.owner();
    Ok(Issued::Token(Box::new(TokenReply {
        access_token,
        token_type: "bearer",
        expires_in: claims.exp - claims.iat,
        refresh_token: refresh.map(|handle| handle.write(&desk.terms.issuer, &desk.seal).expose().to_owned()),
        scope: claims.scope,
        created_at: now,
        owner_type: owner.as_ref().map(|(kind, _)| match kind {
            OwnerKind::Customer => "customer",
            OwnerKind::User => "user",
        }),
        owner_id: owner.map(|(_, id)| id),
        issued_token_type: exchange.then_some("urn:ietf:params:oauth:token-type:access_token"),
    })))
}

/// Writes the claims of an entitlement (RFC 9068 section 2.2 and the vendor's own).
fn claims_of(
    desk: &Desk,
    entitlement: &Entitlement,
    sid: Option<String>,
    now: u64,
) -> Result<Claims, Refusal> {
    let application = &entitlement.application;
    let lifetime = application.access_lifetime.unwrap_or(desk.terms.access_lifetime);
    let mut exp = now + u64::from(lifetime);
    if let Some(limit) = entitlement.not_after {
        exp = exp.min(limit);
    }
    if exp <= now {
        return Err(Refusal::new(
            Code::InvalidGrant,
            "A token that was sent is about to expire; get a new one.",
        ));
    }
    let organization = &entitlement.organization;
    // The vendor's claims are exact, so its profile has none of these.
    let proved = entitlement.proved.filter(|_| profile_of(desk, entitlement) == Profile::Rfc9068);
    let personal = application.kind == ApplicationKind::User;
    let audience = if application.audience.is_empty() { &desk.terms.audience } else { &application.audience };
    Ok(Claims {
        iss: desk.terms.issuer.clone(),
        sub: entitlement.subject_text(),
        aud: audience.clone(),
        client_id: application.client_id.clone(),
        iat: now,
        exp,
        jti: desk.id_text(),
        scope: entitlement.reach.text.clone(),
        sid,
        auth_time: proved.map(|_| entitlement.auth_time),
        amr: proved.into_iter().flat_map(Proved::methods).map(|&word| word.to_owned()).collect(),
        gv: entitlement.gv,
        rol: entitlement.roles.clone(),
        pv: entitlement.directory.version,
        perm: entitlement.reach.can.clone(),
        act: entitlement.act.clone(),
        organization: (!personal).then(|| claims::Organization {
            id: organization.id.clone(),
            slug: organization.slug.clone(),
            enterprise: organization.enterprise,
            region: organization.region.clone(),
        }),
        application: claims::Application {
            id: application.id.clone(),
            client_id: application.client_id.clone(),
            kind: application.kind.as_str().into(),
            public: application.kind == ApplicationKind::SalesChannel || !application.confidential,
            confidential: entitlement.confidential,
        },
        market: entitlement.reach.market.clone(),
        owner: entitlement.owner().map(|(kind, id)| claims::Owner { id, kind }),
        user: match &entitlement.subject {
            Subject::User(id) => Some(claims::User { id: id.clone() }),
            _ => None,
        },
        custom_claim: entitlement.custom_claim.clone(),
        test: !personal && application.mode == Mode::Test,
        rand: fraction(desk),
    })
}

fn profile_of(desk: &Desk, entitlement: &Entitlement) -> Profile {
    let (application, organization) = (&entitlement.application, &entitlement.organization);
    application.profile.or(organization.profile).unwrap_or(desk.terms.profile)
}

async fn cut(
    desk: &Desk,
    keyring: &Keyring,
    entitlement: &Entitlement,
    claims: &Claims,
) -> Result<String, Not> {
    let (application, organization) = (&entitlement.application, &entitlement.organization);
    let algorithm = application.algorithm.as_ref().or(organization.algorithm.as_ref());
    let algorithm = algorithm.unwrap_or(&desk.terms.algorithm);
    let text = serde_json::to_vec(claims).map_err(|e| Trouble::new("claims", e))?;
    let key = keyring.active(algorithm)?;
    let measured = desk.clock.signing(key.algorithm);
    let token = key.sign(profile_of(desk, entitlement), &text).await?;
    drop(measured);
    if token.len() > desk.terms.token_limit {
        let sentence = "The token would be too large for the headers that must carry it; ask for fewer markets or a smaller custom_claim.";
        return Err(Refusal::new(Code::InvalidRequest, sentence).into());
    }
    Ok(token)
}

enum Kept {
    Handle(Option<Handle>),
    Lost,
}

/// Writes down what is promised beside the token, with its audit record, in one transaction.
async fn promise(
    desk: &Desk,
    entitlement: &Entitlement,
    claims: &Claims,
    record: AuditRecord,
    origin: &Origin,
) -> Result<Kept, Not> {
    let (act, handle) = match &entitlement.promise {
        Promise::Nothing => (Act::Note, None),
        Promise::Keep(handle) | Promise::Again(handle) => (Act::Note, Some(handle.clone())),
        Promise::Rotate(old) => {
            let (act, next) = rotation(desk, old, claims.iat);
            (act, Some(next))
        }
        Promise::Login(via) => {
            let (act, handle) = login(desk, entitlement, claims, via)?;
            (act, Some(handle))
        }
    };
    match desk.ledger.commit(Deed::new(act, record)).await? {
        Done::Committed { .. } => Ok(Kept::Handle(handle)),
        Done::Spent { family } => {
            if let Some(family) = family {
                endings::end_family(desk, &family, "code used twice", origin).await?;
            }
            Err(Refusal::new(Code::InvalidGrant, "The code or assertion was used before; get a new one.")
                .into())
        }
        Done::Lost => Ok(Kept::Lost),
    }
}

fn rotation(desk: &Desk, old: &Handle, now: u64) -> (Act, Handle) {
    let next = Handle { n: old.n + 1, secret: HandleSecret(desk.random()), ..old.clone() };
    let act = Act::Rotate(Rotation {
        family: old.family.clone(),
        n: old.n,
        secret: desk.seal.refresh_secret(&old.family, &old.secret.0),
        next: desk.seal.refresh_secret(&old.family, &next.secret.0),
        sealed: seal_successor(&old.secret.0, &old.family, &next.secret.0),
        now,
        idle_exp: old.exp,
    });
    (act, next)
}

fn login(
    desk: &Desk,
    entitlement: &Entitlement,
    claims: &Claims,
    via: &Via,
) -> Result<(Act, Handle), Trouble> {
    let id = claims.sid.clone().ok_or_else(|| Trouble::new("mint", "a login without a sid"))?;
    let application = &entitlement.application;
    let life = application.refresh_lifetime.unwrap_or(desk.terms.refresh_lifetime);
    let end = claims.iat + u64::from(life);
    let handle = Handle { family: id.clone(), n: 0, exp: end, secret: HandleSecret(desk.random()) };
    let text = |value: Result<String, serde_json::Error>| value.map_err(|e| Trouble::new("mint", e));
    let family = Family {
        client_id: application.client_id.clone(),
        organization: entitlement.organization.id.clone(),
        owner: entitlement.owner(),
        scope: claims.scope.clone(),
        confidential: entitlement.confidential,
        act: entitlement.act.as_ref().map(|act| text(serde_json::to_string(act))).transpose()?,
        custom_claim: entitlement.custom_claim.as_ref().map(|claim| claim.to_string()),
        roles: entitlement.roles.clone(),
        gv: entitlement.gv,
        auth_time: entitlement.auth_time,
        proved: entitlement.proved,
        n: 0,
        secret: desk.seal.refresh_secret(&id, &handle.secret.0),
        previous: None,
        sealed: None,
        rotated_at: claims.iat,
        idle_exp: end,
        abs_exp: end,
        ended_at: None,
        end_reason: None,
        id,
    };
    let act = match via {
        Via::Plain => Act::OpenFamily(family),
        // A login that nobody knows of yet is ended by nobody: whoever takes a place away in this moment must
        // find the login there, or have it decided again.
        Via::Code { hash, version } => Act::Several(vec![
            Act::Unmoved { version: *version },
            Act::SpendCode { hash: hash.clone(), now: claims.iat, family },
        ]),
        Via::Assertion { digest, exp } => Act::UseAssertion {
            client_id: application.client_id.clone(),
            digest: digest.clone(),
            exp: *exp,
            family: Some(family),
        },
    };
    Ok((act, handle))
}

/// A number in [0, 1) with 53 random bits.
fn fraction(desk: &Desk) -> f64 {
    let mut bytes = [0; 8];
    desk.dice.fill(&mut bytes);
    (u64::from_be_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
}
