//! Roles in general: intersection, tenants, fences, and facts that nobody gave.

use portcullis_guard::policy::{Permission, Reason, Restriction, Role};
use portcullis_guard::{Access, Action, Facts, Guard, Policy};
use serde_json::{Value, json};

use crate::issuer::{Issuer, NOW, ORGANIZATION};

fn packer() -> Role {
    Role::new([
        Permission::new("orders", [Action::Read, Action::List, Action::Update])
            .when(Restriction::MarketScope),
        Permission::new("parcels", [Action::Create]),
        Permission::new("loyalty_points", [Action::Trigger]),
    ])
}

fn clerk() -> Role {
    Role::new([
        Permission::new("orders", [Action::Read]),
        Permission::new("orders", [Action::Update]).when(Restriction::StatusIn(vec!["draft".into()])),
        Permission::new("refunds", [Action::Create, Action::List]).when(Restriction::SingleResourceOnly),
    ])
}

struct Shop {
    issuer: Issuer,
    guard: Guard,
}

impl Shop {
    fn new() -> Self {
        let issuer = Issuer::new();
        let policy = Policy::new(3)
            .with_role("AbCdEfGhIj/packer", packer())
            .and_then(|policy| policy.with_role("AbCdEfGhIj/clerk", clerk()))
            .and_then(|policy| policy.with_role("ZzOtherOrg/packer", packer()))
            .unwrap();
        let guard = issuer.guard().policy(policy).subject("loyalty_points").build().unwrap();
        Self { issuer, guard }
    }

    fn access(&self, roles: &[&str], change: impl FnOnce(&mut Value)) -> Access {
        let token = self.issuer.token(|claims| {
            claims["rol"] = json!(roles);
            change(claims);
        });
        self.guard.check(&token, NOW).unwrap()
    }

    /// A token in markets `m1` and `m2`.
    fn fenced(&self, roles: &[&str]) -> Access {
        self.access(roles, |claims| {
            claims["scope"] = "market:id:m1 market:id:m2".into();
            claims["market"] =
                json!({"id": ["m1", "m2"], "stock_location_ids": [], "geocoder_id": null, "allows_external_prices": false});
        })
    }

    fn answer(&self, access: &Access, subject: &str, action: Action, facts: Facts<'_>) -> &'static str {
        let permitted = self.guard.permit(access, subject, action, &facts);
        permitted.map_or_else(|forbidden| forbidden.reason().code(), |()| "allowed")
    }
}

#[test]
fn all_roles_of_a_token_must_allow() {
    let shop = Shop::new();
    let both = shop.fenced(&["AbCdEfGhIj/packer", "AbCdEfGhIj/clerk"]);
    let draft = Facts::new().market("m1").status("draft");
    assert_eq!(shop.answer(&both, "orders", Action::Update, draft), "allowed");
    assert_eq!(shop.answer(&both, "orders", Action::Update, draft.market("m3")), "outside_markets");
    assert_eq!(shop.answer(&both, "orders", Action::Update, draft.status("placed")), "wrong_status");
    assert_eq!(shop.answer(&both, "orders", Action::List, draft), "not_granted");
    assert_eq!(shop.answer(&both, "parcels", Action::Create, draft), "not_granted");
    let with_admin = shop.fenced(&["admin", "AbCdEfGhIj/packer"]);
    assert_eq!(shop.answer(&with_admin, "orders", Action::Destroy, draft), "not_granted");
    assert_eq!(shop.answer(&with_admin, "orders", Action::Read, draft.market("m3")), "outside_markets");
}

/// Attack case 23 among them: a role is its whole name, letter for letter.
#[test]
fn no_role_and_unknown_roles_allow_nothing() {
    let shop = Shop::new();
    for (roles, code) in [
        (&[][..], "no_role"),
        (&["Admin"], "unknown_role"),
        (&["admin "], "unknown_role"),
        (&["adm\u{456}n"], "unknown_role"),
        (&["admi"], "unknown_role"),
        (&[""], "unknown_role"),
        (&["admin", "nobody"], "unknown_role"),
        (&["AbCdEfGhIj/Packer"], "unknown_role"),
        (&["AbCdEfGhIj/"], "unknown_role"),
        (&["packer"], "unknown_role"),
    ] {
        let access = shop.access(roles, |_| {});
        for action in Action::ALL {
            assert_eq!(shop.answer(&access, "orders", action, Facts::new().market("m1")), code, "{roles:?}");
            assert!(shop.guard.require(&access, "orders", action).is_err());
            assert!(shop.guard.filter(&access, "orders", action).is_err());
        }
    }
}

#[test]
fn a_role_is_its_own_organizations() {
    let shop = Shop::new();
    let stranger = shop.access(&["ZzOtherOrg/packer"], |_| {});
    assert_eq!(shop.answer(&stranger, "parcels", Action::Create, Facts::new()), "unknown_role");
    let nobodys = shop.access(&["AbCdEfGhIj/packer"], |claims| {
        claims.as_object_mut().unwrap().remove("organization");
    });
    assert_eq!(shop.answer(&nobodys, "parcels", Action::Create, Facts::new()), "unknown_role");
}

#[test]
fn another_organizations_resource_is_refused_whatever_the_role() {
    let shop = Shop::new();
    let admin = shop.access(&["admin"], |_| {});
    for action in Action::ALL {
        let own = Facts::new().organization(ORGANIZATION);
        assert_eq!(shop.answer(&admin, "orders", action, own), "allowed");
        assert_eq!(
            shop.answer(&admin, "orders", action, own.organization("ZzOtherOrg")),
            "other_organization"
        );
        assert_eq!(shop.answer(&admin, "orders", action, own.organization("")), "other_organization");
    }
    let personal =
        shop.access(&["admin"], |claims| drop(claims.as_object_mut().unwrap().remove("organization")));
    let facts = Facts::new().organization(ORGANIZATION);
    assert_eq!(shop.answer(&personal, "orders", Action::Read, facts), "other_organization");
}

#[test]
fn admin_and_read_only_know_no_markets() {
    let shop = Shop::new();
    let elsewhere = Facts::new().market("m3");
    for subject in ["orders", "api_credentials", "loyalty_points"] {
        let (admin, reader) = (shop.fenced(&["admin"]), shop.fenced(&["read_only"]));
        for action in Action::ALL {
            assert_eq!(shop.answer(&admin, subject, action, elsewhere), "allowed");
            let reads = matches!(action, Action::Read | Action::List);
            assert_eq!(shop.answer(&reader, subject, action, elsewhere) == "allowed", reads);
        }
    }
}

#[test]
fn a_fact_that_is_needed_and_not_given_is_a_refusal() {
    let shop = Shop::new();
    let packer = shop.fenced(&["AbCdEfGhIj/packer"]);
    let forbidden = shop.guard.permit(&packer, "orders", Action::Read, &Facts::new()).unwrap_err();
    assert!(matches!(forbidden.reason(), Reason::AttributeMissing(_)));
    assert_eq!(forbidden.reason().code(), "attribute_missing");
    assert_eq!(forbidden.error(), "insufficient_scope");
    assert_eq!(forbidden.to_string(), "attribute_missing: the market is not known (show)");
}

#[test]
fn a_fence_stands_unless_the_scope_names_all_markets() {
    let shop = Shop::new();
    let role = ["AbCdEfGhIj/packer"];
    let everywhere = shop.access(&role, |_| {});
    assert_eq!(shop.answer(&everywhere, "orders", Action::Read, Facts::new()), "allowed");
    for scope in ["", "market:allx", "Market:all", "xmarket:all", "store:id:a"] {
        let nowhere = shop.access(&role, |claims| claims["scope"] = scope.into());
        assert_eq!(
            shop.answer(&nowhere, "orders", Action::Read, Facts::new().market("m1")),
            "outside_markets"
        );
        assert!(shop.guard.filter(&nowhere, "orders", Action::List).is_err());
    }
}

#[test]
fn one_at_a_time_means_no_lists() {
    let shop = Shop::new();
    let clerk = shop.access(&["AbCdEfGhIj/clerk"], |_| {});
    assert_eq!(shop.answer(&clerk, "refunds", Action::Create, Facts::new()), "allowed");
    assert_eq!(shop.answer(&clerk, "refunds", Action::List, Facts::new()), "not_granted");
}

#[test]
fn a_personal_credential_has_nothing_of_commerce() {
    let shop = Shop::new();
    let personal = shop.access(&["provisioning"], |claims| {
        claims.as_object_mut().unwrap().remove("organization");
        claims["user"] = json!({"id": "UsErUsErUs"});
    });
    for subject in ["orders", "customers", "organization", "application", "roles"] {
        assert_eq!(
            shop.answer(&personal, subject, Action::Read, Facts::new().id("UsErUsErUs")),
            "not_granted"
        );
    }
    assert_eq!(shop.answer(&personal, "user", Action::Update, Facts::new().id("UsErUsErUs")), "allowed");
    assert_eq!(shop.answer(&personal, "user", Action::Update, Facts::new().id("SomeoneElse")), "not_itself");
    assert_eq!(shop.answer(&personal, "user", Action::Update, Facts::new()), "attribute_missing");
}

#[test]
fn a_user_who_owns_a_token_is_not_a_customer() {
    let shop = Shop::new();
    for (kind, code) in [("Customer", "allowed"), ("User", "not_owner")] {
        let access = shop.access(&["sales_channel_customer"], |claims| {
            claims["owner"] = json!({"id": "OpQrStUvWx", "type": kind});
        });
        assert_eq!(shop.answer(&access, "customers", Action::Update, Facts::new().owner("OpQrStUvWx")), code);
    }
    let guest = shop.access(&["sales_channel_customer"], |_| {});
    assert_eq!(
        shop.answer(&guest, "customers", Action::Update, Facts::new().owner("OpQrStUvWx")),
        "not_owner"
    );
}

#[test]
fn a_permit_is_half_an_answer() {
    let shop = Shop::new();
    let packer = shop.fenced(&["AbCdEfGhIj/packer"]);
    let permit = shop.guard.require(&packer, "orders", Action::Update).unwrap();
    assert!(permit.is_restricted());
    assert!(permit.over(&Facts::new().market("m2")).is_ok());
    assert!(permit.over(&Facts::new().market("m3")).is_err());
    assert!(permit.over(&Facts::new()).is_err());
    let free = shop.guard.require(&packer, "parcels", Action::Create).unwrap();
    assert!(!free.is_restricted() && free.over(&Facts::new()).is_ok());
    assert!(free.over(&Facts::new().organization("ZzOtherOrg")).is_err());
    assert!(shop.guard.require(&packer, "orders", Action::Destroy).is_err());
}

#[test]
fn a_subject_is_known_by_name_or_by_number() {
    let shop = Shop::new();
    let packer = shop.fenced(&["AbCdEfGhIj/packer"]);
    let points = shop.guard.subject_id("loyalty_points").unwrap();
    assert!(shop.guard.permit(&packer, points, Action::Trigger, &Facts::new()).is_ok());
    assert_eq!(shop.answer(&packer, "loyalty_points", Action::Trigger, Facts::new()), "allowed");
    assert_eq!(shop.answer(&packer, "Orders", Action::Read, Facts::new()), "unknown_subject");
    assert_eq!(
        shop.answer(&shop.access(&["admin"], |_| {}), "moonbeams", Action::Read, Facts::new()),
        "unknown_subject"
    );
    // A number of this guard means nothing to one that does not have the subject.
    let other = shop.issuer.guard().build().unwrap();
    assert!(other.permit(&shop.access(&["admin"], |_| {}), points, Action::Read, &Facts::new()).is_err());
}

#[test]
fn a_new_policy_takes_effect_at_once() {
    let shop = Shop::new();
    let packer = shop.fenced(&["AbCdEfGhIj/packer"]);
    assert_eq!(shop.answer(&packer, "parcels", Action::Create, Facts::new()), "allowed");
    assert_eq!(shop.guard.policy().version(), 3);
    shop.guard.replace_policy(Policy::new(4).with_role("AbCdEfGhIj/packer", Role::default()).unwrap());
    assert_eq!(shop.answer(&packer, "parcels", Action::Create, Facts::new()), "not_granted");
    shop.guard.replace_policy(Policy::new(5));
    assert_eq!(shop.answer(&packer, "parcels", Action::Create, Facts::new()), "unknown_role");
    assert!(!shop.guard.is_behind(&packer));
    assert!(shop.guard.is_behind(&shop.access(&["admin"], |claims| claims["pv"] = 6.into())));
}
