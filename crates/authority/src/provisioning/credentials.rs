//! API credentials. A secret is shown once, when it is made; several may be live, each with its own end,
//! so that it can be rotated without an outage.

use portcullis_guard::policy::Action;
use url::{Host, Url};

use super::change::Change;
use super::draft::{Draft, Reader};
use super::office::Office;
use super::plan::Plan;
use super::{Card, Declined, Kind, Objection};
use crate::desk::Desk;
use crate::endings::remembered_until;
use crate::registry::{Application, ApplicationKind, Mode, OnBehalfOf, RoleKind, Scope, StoredSecret};
use crate::secret::Secret;

const SHOWN: [&str; 8] =
    ["organization", "client_id", "client_secret", "confidential", "scopes", "disabled", "secrets", "id"];
/// The vendor's bounds of a lifetime, seconds.
const SHORTEST: u64 = 7200;
const LONGEST: u64 = 31_536_000;
/// How long the secrets before live on when nothing else is said, seconds.
const OVERLAP: u64 = 24 * 3600;
/// Live secrets of one credential: enough for a rotation within a rotation.
pub(crate) const MOST_SECRETS: usize = 5;

pub fn create(office: &Office<'_>, draft: &Draft) -> Result<Plan, Declined> {
    let mut reader = Reader::new(draft, true);
    let home = reader.required_one("organization", Kind::Organization);
    let name = reader.required("name");
    let kind = reader.required("kind").and_then(|word| kind_of(&mut reader, &word));
    let mut card = Card::new(Kind::ApiCredential, "", "", office.now_ms);
    reader.common(&mut card, office.now_ms);
    let mode = reader.word("mode", &["test", "live"]);
    let custom = reader.flag("custom");
    let redirect = redirect(&mut reader);
    let lifetime = reader.number("expires_in", SHORTEST, LONGEST).flatten();
    let role = reader.one("role", Kind::Role).flatten();
    let ends = reader.number("secret_expires_in", 60, LONGEST).flatten();
    if kind == Some(ApplicationKind::Webapp) && redirect.is_none() {
        reader.object::<()>(Objection::attribute("redirect_uri", "must be given for a webapp"));
    }
    reader.finish(&super::with_common(&SHOWN))?;
    let home = office.organization(home.as_deref())?;
    office.may(&home.id, Kind::ApiCredential, Action::Create)?;
    let kind = kind.unwrap_or(ApplicationKind::SalesChannel);
    let role = role_for(office, kind, role, &home.id)?;
    let id = office.id();
    let client_id = office.desk.token();
    let (secret, stored) = new_secret(office, &client_id, ends);
    let access_lifetime = lifetime.or((kind == ApplicationKind::SalesChannel).then_some(14_400));
    let access_lifetime = access_lifetime.and_then(|seconds| u32::try_from(seconds).ok());
    card.id = id.clone();
    card.organization = home.id.clone();
    card.more.insert("custom".into(), custom.unwrap_or(false).into());
    let application = Application {
        id: id.clone(),
        client_id,
        organization: home.id.clone(),
        name: name.unwrap_or_default(),
        kind,
        confidential: kind != ApplicationKind::SalesChannel,
        mode: if mode.as_deref() == Some("live") { Mode::Live } else { Mode::Test },
        secrets: vec![stored],
        backend_keys: Vec::new(),
        redirect_uris: redirect.flatten().into_iter().collect(),
        origins: Vec::new(),
        scopes: Vec::new(),
        access_lifetime,
        longest_lifetime: access_lifetime.unwrap_or(0),
        refresh_lifetime: None,
        rotate: None,
        password_grant: false,
        pkce_optional: false,
        first_party: false,
        role,
        on_behalf_of: OnBehalfOf::default(),
        audience: Vec::new(),
        user: None,
        algorithm: None,
        profile: None,
        disabled: false,
    };
    let changes = vec![Change::PutApplication(Box::new(application)), Change::PutCard(Box::new(card))];
    Ok(Plan::new(Kind::ApiCredential, id, changes).showing("client_secret", secret.expose()))
}

pub fn update(office: &Office<'_>, id: &str, draft: &Draft) -> Result<Plan, Declined> {
    let mut it = office.estate.applications.get(id).cloned().ok_or(Declined::Missing)?;
    office.may(&it.organization, Kind::ApiCredential, Action::Update)?;
    let mut reader = Reader::new(draft, false);
    let mut card = office.card(Kind::ApiCredential, id, &it.organization);
    reader.common(&mut card, office.now_ms);
    let name = reader.required("name");
    let redirect = redirect(&mut reader);
    let lifetime = reader.number("expires_in", SHORTEST, LONGEST);
    let role = reader.one("role", Kind::Role);
    let asked = Asked::read(&mut reader);
    let shown = [&SHOWN[..], &["kind", "mode", "custom"]].concat();
    reader.finish(&super::with_common(&shown))?;
    only_ones_own(office, &it, asked.disable == Some(true))?;
    it.name = name.unwrap_or(it.name);
    if let Some(redirect) = redirect {
        readdress(&mut it, redirect)?;
    }
    if let Some(lifetime) = lifetime {
        it.access_lifetime = lifetime.and_then(|seconds| u32::try_from(seconds).ok());
        it.longest_lifetime = it.longest_lifetime.max(it.access_lifetime.unwrap_or(0));
    }
    let mut ends = false;
    if let Some(role) = role {
        let role = role_for(office, it.kind, role, &it.organization)?;
        ends |= role != it.role;
        it.role = role;
    }
    if asked.disable == Some(false) && it.kind == ApplicationKind::Integration && it.role.is_none() {
        // Its role was deleted, and with it what narrows those for whom it acts.
        return Err(Objection::relationship("role", "must exist for an integration").into());
    }
    if let Some(disabled) = asked.disable {
        ends |= disabled && !it.disabled;
        it.disabled = disabled;
    }
    let made = asked.secrets(office, &mut it, &mut ends)?;
    let client_id = it.client_id.clone();
    let mut changes = vec![Change::PutApplication(Box::new(it)), Change::PutCard(Box::new(card))];
    changes.extend(ends.then(|| end_of(office.desk, &client_id)));
    let plan = Plan::new(Kind::ApiCredential, id, changes);
    Ok(match made {
        Some(secret) => plan.showing("client_secret", secret.expose()),
        None => plan,
    })
}

pub fn destroy(office: &Office<'_>, id: &str) -> Result<Plan, Declined> {
    let it = office.estate.applications.get(id).ok_or(Declined::Missing)?;
    office.may(&it.organization, Kind::ApiCredential, Action::Destroy)?;
    let beside = office.estate.cards_of(Kind::ApplicationMembership);
    let mut changes: Vec<Change> = beside
        .filter(|card| card.text("api_credential") == Some(id))
        .map(|card| Change::DropCard { kind: card.kind, id: card.id.clone() })
        .collect();
    changes.push(Change::DropCard { kind: Kind::ApiCredential, id: id.into() });
    changes.push(Change::DropApplication { id: id.into() });
    changes.push(end_of(office.desk, &it.client_id));
    Ok(Plan::new(Kind::ApiCredential, id, changes))
}

/// A credential that can get no tokens any more, and whose tokens are dead.
pub fn switched_off(office: &Office<'_>, id: &str, without_role: bool) -> Vec<Change> {
    let Some(mut it) = office.estate.applications.get(id).cloned() else { return Vec::new() };
    it.disabled = true;
    if without_role {
        it.role = None;
    }
    let end = end_of(office.desk, &it.client_id);
    vec![Change::PutApplication(Box::new(it)), end]
}

/// What an update asks beside the plain attributes; all of it is our own addition to the vendor's API.
struct Asked {
    disable: Option<bool>,
    /// One more secret; with `rotate` those before end after the overlap.
    add: bool,
    rotate: bool,
    overlap: u64,
    ends: Option<u64>,
    withdraw: Option<String>,
}

impl Asked {
    fn read(reader: &mut Reader<'_>) -> Self {
        let off = reader.flag("_disable").filter(|on| *on);
        let on = reader.flag("_enable").filter(|on| *on).map(|_| false);
        Self {
            disable: off.or(on),
            add: reader.flag("_add_secret") == Some(true),
            rotate: reader.flag("_rotate_secret") == Some(true),
            overlap: reader.number("secret_overlap", 0, LONGEST).flatten().unwrap_or(OVERLAP),
            ends: reader.number("secret_expires_in", 60, LONGEST).flatten(),
            withdraw: reader.optional("_withdraw_secret").flatten(),
        }
    }

    /// Changes the secrets; the new one, if there is one. A secret that is withdrawn has leaked, and nobody
    /// knows which tokens were had with it: all of them end. One that runs out ends nothing.
    fn secrets(
        &self,
        office: &Office<'_>,
        it: &mut Application,
        ends: &mut bool,
    ) -> Result<Option<Secret>, Declined> {
        let now = office.now_ms / 1000;
        it.secrets.retain(|stored| stored.expires_at.is_none_or(|end| now < end));
        if let Some(id) = &self.withdraw {
            let before = it.secrets.len();
            it.secrets.retain(|stored| stored.id != *id);
            if it.secrets.len() == before {
                return Err(Objection::attribute("_withdraw_secret", "is not the id of a live secret").into());
            }
            *ends = true;
        }
        if !self.add && !self.rotate {
            return Ok(None);
        }
        if self.rotate {
            let end = now + self.overlap;
            for stored in &mut it.secrets {
                stored.expires_at = Some(stored.expires_at.map_or(end, |known| known.min(end)));
            }
            it.secrets.retain(|stored| stored.expires_at.is_none_or(|end| now < end));
        }
        if it.secrets.len() >= MOST_SECRETS {
            let name = if self.rotate { "_rotate_secret" } else { "_add_secret" };
            let detail = "there are five live secrets already; withdraw one";
            return Err(Objection::attribute(name, detail).into());
        }
        let (secret, stored) = new_secret(office, &it.client_id, self.ends);
        it.secrets.push(stored);
        Ok(Some(secret))
    }
}

fn new_secret(office: &Office<'_>, client_id: &str, life: Option<u64>) -> (Secret, StoredSecret) {
    let secret = Secret::from(format!("pcs_{}", office.desk.token()));
    let stored = StoredSecret {
        id: office.id(),
        hash: office.desk.seal.client_secret(client_id, &secret),
        expires_at: life.map(|seconds| office.now_ms / 1000 + seconds),
    };
    (secret, stored)
}

/// A personal credential stands for its person in every organization of that person, so an admin of one of
/// them must not be able to make a secret for it; switching it off is fine.
fn only_ones_own(office: &Office<'_>, it: &Application, disabling: bool) -> Result<(), Declined> {
    let own = it.user.as_ref().is_none_or(|user| *user == office.bearer.person.id);
    (own || disabling)
        .then_some(())
        .ok_or_else(|| Declined::forbidden("A personal credential is changed by its own person only."))
}

/// The end of every token that an application has.
pub(crate) fn end_of(desk: &Desk, client_id: &str) -> Change {
    let exp = remembered_until(desk, &desk.registry.directory(), Some(client_id));
    Change::Raise { scope: Scope::Client, id: client_id.into(), exp }
}

fn kind_of(reader: &mut Reader<'_>, word: &str) -> Option<ApplicationKind> {
    let kinds = [ApplicationKind::SalesChannel, ApplicationKind::Integration, ApplicationKind::Webapp];
    let known = kinds.into_iter().find(|kind| kind.as_str() == word);
    let detail = "must be one of sales_channel, integration, webapp";
    known.or_else(|| reader.object(Objection::attribute("kind", detail)))
}

/// Integrations have a role and nothing else has.
fn role_for(
    office: &Office<'_>,
    kind: ApplicationKind,
    role: Option<String>,
    organization: &str,
) -> Result<Option<String>, Declined> {
    let no = |detail: &'static str| Err(Objection::relationship("role", detail).into());
    match (kind, role) {
        (ApplicationKind::Integration, None) => no("must exist for an integration"),
        (ApplicationKind::Integration, Some(id)) => {
            let found = office.estate.roles.get(&id).filter(|role| role.organization == organization);
            let Some(role) = found else { return no("must exist") };
            if role.kind == RoleKind::Custom {
                office.enterprise(organization, "Custom roles")?;
            }
            Ok(Some(role.id.clone()))
        }
        (_, Some(_)) => no("can be given to an integration only"),
        (_, None) => Ok(None),
    }
}

/// A webapp is never left without an address; nothing else has one.
fn readdress(it: &mut Application, redirect: Option<String>) -> Result<(), Declined> {
    let no = |detail: &'static str| Err(Objection::attribute("redirect_uri", detail).into());
    match (it.kind, redirect) {
        (ApplicationKind::Webapp, None) => no("cannot be blank for a webapp"),
        (ApplicationKind::Webapp, Some(address)) => {
            match it.redirect_uris.first_mut() {
                Some(first) => *first = address,
                None => it.redirect_uris.push(address),
            }
            Ok(())
        }
        (_, Some(_)) => no("is for a webapp only"),
        (_, None) => Ok(()),
    }
}

/// RFC 9700 section 2.6: https, or http on this very machine; and never a fragment (RFC 6749 section
/// 3.1.2).
fn redirect(reader: &mut Reader<'_>) -> Option<Option<String>> {
    let given = reader.optional("redirect_uri")?;
    let Some(text) = given else { return Some(None) };
    let sound = Url::parse(&text).is_ok_and(|url| {
        let here = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let scheme = url.scheme() == "https" || url.scheme() == "http" && here;
        scheme && url.has_host() && url.fragment().is_none() && url.username().is_empty()
    });
    if sound {
        return Some(Some(text));
    }
    let detail = "must be an https address without a fragment, or http on localhost";
    reader.object(Objection::attribute("redirect_uri", detail))
}
