//! Applications: what a kind must have and what it cannot have, said when the file is read and not when a
//! customer stands before the shop.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::registry::{Application, ApplicationKind, StoredSecret};
use portcullis_authority::secret::Secret;
use portcullis_guard::KeySet;

use super::addresses::{origin_fault, redirect_fault};
use super::file::{self, File};
use super::sheet::Sheet;
use super::{Ground, Sown};

/// In place of a secret: make one.
const GENERATE: &str = "generate";
/// The id of the secret that a seed states; a second seeding replaces it.
const SEEDED: &str = "seed";
/// The longest lifetime that an application may ask for, seconds: a year, as the vendor has it.
const A_YEAR: u32 = 31_536_000;

pub fn read(sheet: &mut Sheet<'_>, file: &File, ground: &Ground<'_>, sown: &mut Sown) {
    for (n, it) in file.applications.iter().enumerate() {
        let mut application = application(sheet, it, &format!("applications[{n}]"));
        if let Some(secret) = &it.secret {
            let client_id = application.client_id.clone();
            let known = ground.known.application(&client_id);
            let known = known.and_then(|a| a.secrets.iter().find(|stored| stored.id == SEEDED));
            let hash =
                secret_hash(ground, sown, (&client_id, secret), known.map(|stored| stored.hash.clone()));
            application.secrets = vec![StoredSecret { id: SEEDED.into(), hash, expires_at: None }];
        }
        if let Some(key) = &it.backend_key {
            let name = format!("backend:{}", application.client_id);
            let known = ground.known.application(&application.client_id);
            let known = known.and_then(|a| a.backend_keys.iter().find(|stored| stored.id == SEEDED));
            let hash = secret_hash(ground, sown, (&name, key), known.map(|stored| stored.hash.clone()));
            application.backend_keys = vec![StoredSecret { id: SEEDED.into(), hash, expires_at: None }];
        }
        sown.set.applications.push(application);
    }
}

/// The keyed hash of a secret that is stated, was generated before, or is generated now.
pub fn secret_hash(
    ground: &Ground<'_>,
    sown: &mut Sown,
    (name, stated): (&str, &Secret),
    known: Option<String>,
) -> String {
    if stated.expose() != GENERATE {
        return ground.seal.client_secret(name, stated);
    }
    known.unwrap_or_else(|| {
        let mut random = [0; 32];
        ground.dice.fill(&mut random);
        let secret = Secret::from(format!("pcs_{}", URL_SAFE_NO_PAD.encode(random)));
        let hash = ground.seal.client_secret(name, &secret);
        sown.generated.push((name.to_owned(), secret));
        hash
    })
}

fn application(sheet: &mut Sheet<'_>, it: &file::Application, place: &str) -> Application {
    let key = |name: &str| format!("{place}.{name}");
    let id = it.id.as_ref().unwrap_or(&it.client_id);
    sheet.id(&it.client_id, key("client_id"));
    sheet.id(id, key("id"));
    sheet.once("client_id", &it.client_id, key("client_id"));
    sheet.once("application", id, key("id"));
    let organization = sheet.organization(it.organization.as_ref(), &it.client_id, key("organization"));
    let confidential = it.confidential.unwrap_or(it.kind != ApplicationKind::SalesChannel);
    check_kind(sheet, it, confidential, place);
    check_addresses(sheet, it, place);
    check_lifetimes(sheet, it, place);
    check_on_behalf_of(sheet, it, &organization, place);
    if let Some(role) = &it.role {
        sheet.role(&organization, role, key("role"));
    }
    if let Some(user) = &it.user {
        sheet.user(user, key("user"));
    }
    sheet.algorithm(it.algorithm.as_ref(), key("algorithm"));
    let texts = |list: &[file::Text]| list.iter().map(|text| text.get_ref().clone()).collect();
    let access_lifetime = it.access_lifetime.as_ref().map(|seconds| *seconds.get_ref());
    Application {
        id: id.get_ref().clone(),
        client_id: it.client_id.get_ref().clone(),
        organization,
        name: it.name.clone().unwrap_or_else(|| it.client_id.get_ref().clone()),
        kind: it.kind,
        confidential,
        mode: it.mode,
        secrets: Vec::new(),
        backend_keys: Vec::new(),
        redirect_uris: texts(&it.redirect_uris),
        origins: texts(&it.origins),
        scopes: texts(&it.scopes),
        access_lifetime,
        longest_lifetime: access_lifetime.unwrap_or(0),
        refresh_lifetime: it.refresh_lifetime.as_ref().map(|seconds| *seconds.get_ref()),
        rotate: it.rotate,
        password_grant: it.password_grant,
        pkce_optional: it.pkce_optional,
        first_party: it.first_party,
        role: it.role.as_ref().map(|role| role.get_ref().clone()),
        on_behalf_of: it.on_behalf_of.as_ref().map(|on| on.get_ref().clone()).unwrap_or_default(),
        audience: it.audience.clone(),
        user: it.user.as_ref().map(|user| user.get_ref().clone()),
        algorithm: it.algorithm.as_ref().map(|text| text.get_ref().clone()),
        profile: it.profile,
        disabled: it.disabled,
    }
}

fn check_kind(sheet: &mut Sheet<'_>, it: &file::Application, confidential: bool, place: &str) {
    use ApplicationKind::{Integration, SalesChannel, User, Webapp};
    let rules = [
        (confidential && it.secret.is_none(), "secret", "a confidential application needs a secret."),
        (
            !confidential && matches!(it.kind, Integration | User),
            "confidential",
            "an integration or a user credential always proves itself with a secret.",
        ),
        (
            it.password_grant && it.kind != SalesChannel,
            "password_grant",
            "only a sales channel may use the password grant.",
        ),
        (
            it.pkce_optional && !confidential,
            "pkce_optional",
            "a public application always needs PKCE (RFC 9700 section 2.1.1).",
        ),
        (it.kind == Webapp && it.redirect_uris.is_empty(), "redirect_uris", "a webapp needs at least one."),
        (
            it.kind != Webapp && !it.redirect_uris.is_empty(),
            "redirect_uris",
            "only a webapp sends people to log in.",
        ),
        (it.kind == Integration && it.role.is_none(), "role", "an integration needs a role."),
        (it.kind == User && it.role.is_some(), "role", "a user credential has no role of its own."),
        (it.kind == User && it.user.is_none(), "user", "a user credential names its user."),
        (it.kind != User && it.user.is_some(), "user", "only a user credential has a user."),
    ];
    for (broken, name, sentence) in rules {
        if broken {
            sheet.wrong(&it.client_id, format!("{place}.{name}"), sentence);
        }
    }
}

fn check_addresses(sheet: &mut Sheet<'_>, it: &file::Application, place: &str) {
    for uri in &it.redirect_uris {
        if let Some(fault) = redirect_fault(uri.get_ref()) {
            sheet.wrong(uri, format!("{place}.redirect_uris"), fault);
        }
    }
    for origin in &it.origins {
        if let Some(fault) = origin_fault(origin.get_ref()) {
            sheet.wrong(origin, format!("{place}.origins"), fault);
        }
    }
}

fn check_lifetimes(sheet: &mut Sheet<'_>, it: &file::Application, place: &str) {
    let all = [("access_lifetime", &it.access_lifetime), ("refresh_lifetime", &it.refresh_lifetime)];
    for (name, seconds) in all {
        if let Some(seconds) = seconds
            && !(60..=A_YEAR).contains(seconds.get_ref())
        {
            let sentence = format!("a lifetime is between 60 and {A_YEAR} seconds.");
            sheet.wrong_at(seconds.span(), format!("{place}.{name}"), sentence);
        }
    }
}

fn check_on_behalf_of(sheet: &mut Sheet<'_>, it: &file::Application, organization: &str, place: &str) {
    let Some(on) = &it.on_behalf_of else { return };
    let key = |name: &str| format!("{place}.on_behalf_of{name}");
    if on.get_ref().enabled && !organization.is_empty() && !sheet.is_enterprise(organization) {
        sheet.wrong_at(
            on.span(),
            key(".enabled"),
            "acting on behalf of somebody needs an enterprise organization.",
        );
    }
    if on.get_ref().enabled && it.secret.is_none() {
        sheet.wrong_at(on.span(), key(".enabled"), "acting on behalf of somebody needs a secret.");
    }
    if let Some(keys) = &on.get_ref().keys {
        match KeySet::from_value(keys) {
            Ok(set) if !set.is_empty() => {}
            Ok(_) => sheet.wrong_at(on.span(), key(".keys"), "there is no key with kid and alg in this set."),
            Err(why) => sheet.wrong_at(on.span(), key(".keys"), format!("{why}.")),
        }
    }
}
