//! How each kind of thing is shown: its attributes and relationships in the vendor's words. Secrets and
//! hashes are never among them.

use std::collections::BTreeMap;

use portcullis_guard::policy::{Action, Permission};
use ring::digest;
use serde_json::{Value, json};

use super::card::time;
use super::change::Traced;
use super::estate::{Estate, role_id};
use super::resource::Resource;
use super::{Card, Kind};
use crate::registry::{Application, Membership, Mode, Organization, Person, Role, RoleKind};

/// Attributes of an organization that we keep for others and never read.
pub const ORGANIZATION_TEXTS: [&str; 8] = [
    "support_phone",
    "support_email",
    "logo_url",
    "favicon_url",
    "primary_color",
    "contrast_color",
    "gtm_id",
    "gtm_id_test",
];

/// Attributes of an identity provider.
pub const PROVIDER_TEXTS: [&str; 8] =
    ["name", "client_id", "issuer", "domains", "token_url", "authorize_url", "jwks_url", "organization"];

pub fn all(estate: &Estate, kind: Kind) -> Vec<Resource> {
    match kind {
        Kind::Organization => estate.organizations.values().map(|it| organization(estate, it)).collect(),
        Kind::Role => estate.roles.values().map(|it| role(estate, it)).collect(),
        Kind::Permission => estate.roles.values().flat_map(|it| permissions(estate, it)).collect(),
        Kind::ApiCredential => estate.applications.values().map(|it| credential(estate, it)).collect(),
        Kind::Membership => memberships(estate),
        Kind::MembershipProfile => estate.cards_of(kind).map(profile).collect(),
        Kind::ApplicationMembership => estate.cards_of(kind).map(application_membership).collect(),
        Kind::IdentityProvider => estate.cards_of(kind).map(provider).collect(),
        Kind::User => estate.people.values().map(|it| user(estate, it)).collect(),
        Kind::Version => Vec::new(),
    }
}

/// The thing of a kind with this id, without a look at the others where that can be.
pub fn one(estate: &Estate, kind: Kind, id: &str) -> Option<Resource> {
    let card = || estate.card(kind, id);
    match kind {
        Kind::Organization => estate.organizations.get(id).map(|it| organization(estate, it)),
        Kind::Role => estate.roles.get(id).map(|it| role(estate, it)),
        Kind::ApiCredential => estate.applications.get(id).map(|it| credential(estate, it)),
        Kind::Membership => match estate.memberships.get(id) {
            Some(it) => Some(place(estate, it)),
            None => card().map(invitation),
        },
        Kind::MembershipProfile => card().map(profile),
        Kind::ApplicationMembership => card().map(application_membership),
        Kind::IdentityProvider => card().map(provider),
        Kind::User => estate.people.get(id).map(|it| user(estate, it)),
        // Its id follows from its role and subject.
        Kind::Permission => all(estate, kind).into_iter().find(|one| one.id == id),
        Kind::Version => None,
    }
}

/// The person behind the token.
pub fn user(estate: &Estate, it: &Person) -> Resource {
    let attributes = json!({
        "email": it.email,
        "first_name": it.first_name,
        "last_name": it.last_name,
        "time_zone": it.time_zone,
        "otp_required_for_login": false,
    });
    Resource::new(Kind::User, &it.id, "", attributes, estate.card(Kind::User, &it.id))
}

/// A line of the audit log.
pub fn version(it: &Traced) -> Resource {
    let attributes = json!({
        "resource_type": it.trace.resource_type,
        "resource_id": it.trace.resource_id,
        "event": it.trace.event,
        "changes": it.trace.changes,
        "who": it.trace.who,
    });
    let mut one = Resource::new(Kind::Version, &it.id, &it.organization, attributes, None);
    one.attributes.insert("created_at".into(), time(it.at * 1000));
    one.attributes.insert("updated_at".into(), time(it.at * 1000));
    one.one("organization", Kind::Organization, Some(&it.organization))
}

/// Ten letters that follow from a role and a subject: a permission is where it is, and needs no id kept.
pub fn permission_id(role: &Role, subject: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in ["portcullis-permission", &role.organization, &role.id, subject] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hash.finish().as_ref().iter().take(10).map(|byte| super::letter(byte % 52)).collect()
}

/// The word for a kind of role.
pub fn role_kind(kind: RoleKind) -> &'static str {
    match kind {
        RoleKind::Admin => "admin",
        RoleKind::ReadOnly => "read_only",
        RoleKind::Custom => "custom",
    }
}

fn organization(estate: &Estate, it: &Organization) -> Resource {
    let card = estate.card(Kind::Organization, &it.id);
    let kept = |name: &str| card.and_then(|card| card.more.get(name)).cloned().unwrap_or(Value::Null);
    let mut attributes = json!({
        "name": it.name,
        "slug": it.slug,
        "domain": kept("domain"),
        "region": it.region,
        "can_switch_live": true,
        "subscription_info": { "plan_type": if it.enterprise { "enterprise" } else { "growth" } },
        "config": kept("config"),
        "api_new_auth": true,
        "api_auth_redirect": false,
        "orders_sales_channel_guest_only": false,
    });
    for name in ORGANIZATION_TEXTS {
        attributes[name] = kept(name);
    }
    Resource::new(Kind::Organization, &it.id, &it.id, attributes, card)
        .many("memberships", Kind::Membership)
        .many("roles", Kind::Role)
        .many("permissions", Kind::Permission)
        .many("api_credentials", Kind::ApiCredential)
}

fn role(estate: &Estate, it: &Role) -> Resource {
    let id = role_id(&it.organization, &it.id);
    let card = estate.card(Kind::Role, &id);
    let conflicts = card.map(|card| card.texts("conflicts_with")).unwrap_or_default();
    let attributes = json!({ "name": it.name, "kind": role_kind(it.kind), "conflicts_with": conflicts });
    Resource::new(Kind::Role, &id, &it.organization, attributes, card)
        .one("organization", Kind::Organization, Some(&it.organization))
        .many("permissions", Kind::Permission)
        .many("memberships", Kind::Membership)
        .many("api_credentials", Kind::ApiCredential)
        .many("versions", Kind::Version)
}

/// One for each subject of a custom role; what the built-in roles may do is in every guard and not kept.
fn permissions(estate: &Estate, role: &Role) -> Vec<Resource> {
    let mut subjects: BTreeMap<&str, Vec<&Permission>> = BTreeMap::new();
    for entry in &role.permissions {
        subjects.entry(&entry.subject).or_default().push(entry);
    }
    subjects.into_iter().map(|(subject, entries)| permission(estate, role, subject, &entries)).collect()
}

fn permission(estate: &Estate, role: &Role, subject: &str, entries: &[&Permission]) -> Resource {
    let can = |action| entries.iter().any(|entry| entry.actions.contains(action));
    let restrictions = match entries {
        [one] if one.when.is_empty() => json!({}),
        [one] => json!({ "when": one.when }),
        several => {
            let each = |one: &&Permission| json!({ "actions": one.actions, "when": one.when });
            json!({ "any": several.iter().map(each).collect::<Vec<_>>() })
        }
    };
    let attributes = json!({
        "subject": subject,
        "can_create": can(Action::Create),
        "can_read": can(Action::Read),
        "can_update": can(Action::Update),
        "can_destroy": can(Action::Destroy),
        "restrictions": restrictions,
    });
    let id = permission_id(role, subject);
    let card = estate.card(Kind::Permission, &id);
    Resource::new(Kind::Permission, &id, &role.organization, attributes, card)
        .one("organization", Kind::Organization, Some(&role.organization))
        .one("role", Kind::Role, Some(&role_id(&role.organization, &role.id)))
        .many("versions", Kind::Version)
}

fn credential(estate: &Estate, it: &Application) -> Resource {
    let card = estate.card(Kind::ApiCredential, &it.id);
    let secret = |stored: &crate::registry::StoredSecret| {
        let ends = stored.expires_at.map_or(Value::Null, |seconds| time(seconds.saturating_mul(1000)));
        json!({ "id": stored.id, "expires_at": ends })
    };
    let scopes = if it.scopes.is_empty() { "market:all".to_owned() } else { it.scopes.join(" ") };
    let mode = match it.mode {
        Mode::Live => "live",
        Mode::Test => "test",
    };
    let attributes = json!({
        "name": it.name,
        "kind": it.kind.as_str(),
        "confidential": it.confidential,
        "redirect_uri": it.redirect_uris.first(),
        "client_id": it.client_id,
        "client_secret": null,
        "scopes": scopes,
        "expires_in": it.access_lifetime,
        "mode": mode,
        "custom": card.and_then(|card| card.more.get("custom")).and_then(Value::as_bool).unwrap_or(false),
        "disabled": it.disabled,
        "secrets": it.secrets.iter().map(secret).collect::<Vec<_>>(),
    });
    let role = it.role.as_ref().map(|id| role_id(&it.organization, id));
    Resource::new(Kind::ApiCredential, &it.id, &it.organization, attributes, card)
        .one("organization", Kind::Organization, Some(&it.organization))
        .one("role", Kind::Role, role.as_deref())
}

/// The places of people, and the invitations that nobody has accepted yet.
fn memberships(estate: &Estate) -> Vec<Resource> {
    let places = estate.memberships.values().map(|it| place(estate, it));
    let invited = estate.cards_of(Kind::Membership).filter(|it| !estate.memberships.contains_key(&it.id));
    places.chain(invited.map(invitation)).collect()
}

fn place(estate: &Estate, it: &Membership) -> Resource {
    let card = estate.card(Kind::Membership, &it.id);
    let person = estate.people.get(&it.user);
    let attributes = json!({
        "user_email": person.map(|person| &person.email),
        "user_first_name": person.map(|person| &person.first_name),
        "user_last_name": person.map(|person| &person.last_name),
        "status": if it.active { "active" } else { "pending" },
        "owner": it.owner,
        "access_scope": access_scope(card),
        "test_enabled": access_scope(card) != "live_access",
        "all_applications": it.applications.is_none(),
    });
    let one = Resource::new(Kind::Membership, &it.id, &it.organization, attributes, card);
    membership_links(one, &it.organization, &it.role, card)
}

fn invitation(card: &Card) -> Resource {
    let attributes = json!({
        "user_email": card.text("user_email"),
        "user_first_name": null,
        "user_last_name": null,
        "status": "pending",
        "owner": false,
        "access_scope": access_scope(Some(card)),
        "test_enabled": access_scope(Some(card)) != "live_access",
        "all_applications": null,
    });
    let one = Resource::new(Kind::Membership, &card.id, &card.organization, attributes, Some(card));
    membership_links(one, &card.organization, card.text("role").unwrap_or_default(), Some(card))
}

fn membership_links(one: Resource, organization: &str, role: &str, card: Option<&Card>) -> Resource {
    let profile = card.and_then(|card| card.text("membership_profile"));
    one.one("organization", Kind::Organization, Some(organization))
        .one("role", Kind::Role, Some(&role_id(organization, role)))
        .one("membership_profile", Kind::MembershipProfile, profile)
        .many("application_memberships", Kind::ApplicationMembership)
        .many("versions", Kind::Version)
}

fn access_scope(card: Option<&Card>) -> &str {
    card.and_then(|card| card.text("access_scope")).unwrap_or("all_access")
}

fn profile(card: &Card) -> Resource {
    let attributes = json!({
        "name": card.text("name"),
        "access_scope": access_scope(Some(card)),
        "test_enabled": access_scope(Some(card)) != "live_access",
    });
    Resource::new(Kind::MembershipProfile, &card.id, &card.organization, attributes, Some(card))
        .one("organization", Kind::Organization, Some(&card.organization))
        .many("application_memberships", Kind::ApplicationMembership)
}

fn application_membership(card: &Card) -> Resource {
    let attributes = json!({ "filters": card.more.get("filters") });
    Resource::new(Kind::ApplicationMembership, &card.id, &card.organization, attributes, Some(card))
        .one("api_credential", Kind::ApiCredential, card.text("api_credential"))
        .one("membership", Kind::Membership, card.text("membership"))
        .one("membership_profile", Kind::MembershipProfile, card.text("membership_profile"))
        .one("organization", Kind::Organization, Some(&card.organization))
        .one("role", Kind::Role, card.text("role"))
}

fn provider(card: &Card) -> Resource {
    let mut attributes = json!({
        "client_secret": null,
        "status": "pending",
        "txt_record": card.text("txt_record"),
        "disabled_at": card.more.get("disabled_at"),
    });
    for name in PROVIDER_TEXTS {
        attributes[name] = json!(card.text(name));
    }
    Resource::new(Kind::IdentityProvider, &card.id, &card.organization, attributes, Some(card)).one(
        "user",
        Kind::User,
        card.text("user"),
    )
}
