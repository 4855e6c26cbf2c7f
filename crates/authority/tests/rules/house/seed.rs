//! Who lives in the house.
//!
//! `acme` is an enterprise organization with every kind of application; `plain` is not. The secret of every
//! application is `secret_of(client_id)`.

use portcullis_authority::keyring::public_half;
use portcullis_authority::memory::Memory;
use portcullis_authority::registry::{
    Application, ApplicationKind, Assertions, Fence, FenceKind, GuardAccount, Holdings, Membership, Mode,
    OnBehalfOf, Organization, Person, Profile, Role, RoleKind, StoredSecret,
};
use portcullis_authority::secret::{Seal, Secret};
use portcullis_guard::claims::OwnerKind;
use serde_json::{Value, json};

use super::hands::crew;
use super::{pen, secret_of};

pub const ACME: &str = "OrgAcmeAAA";
pub const PLAIN: &str = "OrgPlainBB";

pub fn memory(seal: &Seal) -> Memory {
    let mut applications = applications();
    for application in &mut applications {
        let secret = Secret::from(secret_of(&application.client_id));
        let hash = seal.client_secret(&application.client_id, &secret);
        application.secrets = vec![StoredSecret { id: "s1".into(), hash, expires_at: None }];
    }
    let guard = seal.client_secret("guard:gate", &Secret::from(secret_of("gate")));
    let holdings = Holdings {
        version: 1,
        organizations: vec![organization(ACME, "acme", true), organization(PLAIN, "plain", false)],
        applications,
        roles: roles(),
        fences: fences(),
        guards: vec![GuardAccount { id: "gate".into(), hash: guard }],
        generations: Vec::new(),
        floor: 0,
    };
    let memory = Memory::new(holdings, people(), memberships());
    crew().into_iter().for_each(|operator| memory.hire(operator));
    memory
}

fn organization(id: &str, slug: &str, enterprise: bool) -> Organization {
    read(json!({ "id": id, "slug": slug, "name": slug, "enterprise": enterprise }))
}

fn applications() -> Vec<Application> {
    use ApplicationKind::{Integration, SalesChannel, User, Webapp};
    let acting = OnBehalfOf { enabled: true, ..OnBehalfOf::default() };
    let bob =
        |client_id: &str| Application { on_behalf_of: acting.clone(), ..acme(client_id, Integration, true) };
    let keys = json!({ "keys": [public_half(pen::int_key()).unwrap()] });
    vec![
        Application {
            password_grant: true,
            on_behalf_of: acting.clone(),
            ..acme("shop", SalesChannel, false)
        },
        acme("kiosk", SalesChannel, false),
        Application {
            role: Some("orders".into()),
            on_behalf_of: OnBehalfOf {
                owner_types: vec![OwnerKind::Customer, OwnerKind::User],
                keys: Some(keys),
                ..acting.clone()
            },
            ..acme("int", Integration, true)
        },
        bob("int2"),
        bob("int3"),
        bob("int4"),
        Application { audience: vec!["reports".into()], ..bob("reports") },
        Application { mode: Mode::Live, ..bob("live") },
        Application {
            on_behalf_of: OnBehalfOf { assertions: Assertions::ClientAuthenticated, ..acting.clone() },
            ..acme("helper", Integration, true)
        },
        acme("lonely", Integration, true),
        Application {
            redirect_uris: vec!["https://app.example/cb".into()],
            on_behalf_of: acting.clone(),
            ..acme("web", Webapp, true)
        },
        Application {
            redirect_uris: vec!["https://spa.example/cb".into(), "http://127.0.0.1/cb".into()],
            ..acme("spa", Webapp, false)
        },
        Application {
            redirect_uris: vec!["https://old.example/cb".into()],
            pkce_optional: true,
            first_party: true,
            ..acme("old", Webapp, true)
        },
        Application { user: Some("UserAdaAAA".into()), ..acme("me", User, true) },
        Application {
            profile: Some(Profile::CommerceLayer),
            algorithm: Some("RS512".into()),
            ..acme("vendor", Integration, true)
        },
        Application { organization: PLAIN.into(), ..bob("plain-int") },
        Application {
            organization: PLAIN.into(),
            password_grant: true,
            ..acme("plain-shop", SalesChannel, false)
        },
    ]
}

fn acme(client_id: &str, kind: ApplicationKind, confidential: bool) -> Application {
    read(json!({
        "id": format!("app-{client_id}"), "client_id": client_id, "organization": ACME, "name": client_id,
        "kind": kind, "confidential": confidential,
    }))
}

fn roles() -> Vec<Role> {
    let role = |id: &str, kind| Role {
        id: id.into(),
        organization: ACME.into(),
        name: id.into(),
        kind,
        permissions: Vec::new(),
    };
    vec![role("boss", RoleKind::Admin), role("eyes", RoleKind::ReadOnly), role("orders", RoleKind::Custom)]
}

/// Two open markets that share everything, a private one, one with a geocoder, and one of somebody else.
fn fences() -> Vec<Fence> {
    let market = |id: &str, code: &str, stock: &[&str]| -> Fence {
        read(json!({
            "kind": "market", "id": id, "organization": ACME, "code": code, "stock_locations": stock,
            "allows_external_prices": code == "europe",
        }))
    };
    let stock = |id: &str, code: &str| -> Fence {
        read(json!({ "kind": "stock_location", "id": id, "organization": ACME, "code": code }))
    };
    vec![
        market("MktEurope1", "europe", &["StockMilan", "StockParis"]),
        market("MktUsaAAAA", "usa", &["StockTexas"]),
        Fence { customer_group: Some("vips".into()), ..market("MktVipsAAA", "vips", &["StockMilan"]) },
        Fence { geocoder_id: Some("GeoAAAAAAA".into()), ..market("MktGeoAAAA", "geo", &[]) },
        Fence { organization: PLAIN.into(), ..market("MktPlainBB", "plain", &[]) },
        stock("StockMilan", "milan"),
        stock("StockParis", "paris"),
        stock("StockTexas", "texas"),
        Fence {
            kind: FenceKind::Store,
            market: Some("MktEurope1".into()),
            ..market("StoreMilan", "duomo", &[])
        },
        Fence {
            kind: FenceKind::Store,
            market: Some("MktVipsAAA".into()),
            ..market("StoreVipsA", "lounge", &[])
        },
    ]
}

fn people() -> Vec<Person> {
    let customer = |id: &str, name: &str, organization: &str, group: Option<&str>| -> Person {
        read(json!({
            "id": id, "kind": "Customer", "organization": organization, "email": format!("{name}@acme.example"),
            "password": format!("{name}s-password"), "customer_group": group,
        }))
    };
    let user = |id: &str, name: &str| -> Person {
        read(json!({
            "id": id, "kind": "User", "email": format!("{name}@staff.example"),
            "password": format!("{name}s-password"),
        }))
    };
    vec![
        customer("CustEvaAAA", "eva", ACME, None),
        customer("CustVipAAA", "vip", ACME, Some("vips")),
        customer("CustPaulBB", "paul", PLAIN, None),
        Person { disabled: true, ..customer("CustGoneAA", "gone", ACME, None) },
        Person { password: None, ..customer("CustMuteAA", "mute", ACME, None) },
        user("UserAdaAAA", "ada"),
        user("UserBobAAA", "bob"),
        user("UserZedAAA", "zed"),
    ]
}

/// Ada runs acme, Bob has left it, Zed never was there.
fn memberships() -> Vec<Membership> {
    let place = |user: &str, organization: &str, active: bool| -> Membership {
        read(json!({
            "id": format!("m-{user}"), "user": user, "organization": organization, "role": "boss",
            "owner": user == "UserAdaAAA", "active": active,
        }))
    };
    vec![place("UserAdaAAA", ACME, true), place("UserBobAAA", ACME, false), place("UserZedAAA", PLAIN, true)]
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the seed is written for these types")
}
