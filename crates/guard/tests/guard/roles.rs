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

#[test]
fn a_narrowed_token_may_do_what_its_roles_and_its_narrowing_both_leave() {
    let shop = Shop::new();
    let narrowed = |roles: &[&str], perm: Value| shop.access(roles, |claims| claims["perm"] = perm);
    let token = narrowed(&["admin"], json!({"orders": ["read"], "loyalty_points": ["trigger"]}));
    let facts = Facts::new().organization(ORGANIZATION).market("m1");
    for (subject, action, answer) in [
        ("orders", Action::Read, "allowed"),
        ("orders", Action::List, "allowed"),
        ("orders", Action::Update, "narrowed"),
        ("skus", Action::Read, "narrowed"),
        ("loyalty_points", Action::Trigger, "allowed"),
    ] {
        assert_eq!(shop.answer(&token, subject, action, facts), answer, "{subject} {action:?}");
        assert_eq!(shop.guard.require(&token, subject, action).is_ok(), answer == "allowed");
        assert_eq!(shop.guard.filter(&token, subject, action).is_ok(), answer == "allowed");
    }
    let other = facts.organization("ZzOtherOrg");
    assert_eq!(shop.answer(&token, "orders", Action::Read, other), "other_organization");
    let listed = shop.guard.actions(token.claims());
    assert_eq!(listed.len(), 2, "{listed:?}");

    let beyond = narrowed(&["AbCdEfGhIj/clerk"], json!({"*": ["read"], "skus": ["update"]}));
    assert_eq!(shop.answer(&beyond, "orders", Action::Read, facts), "allowed");
    assert_eq!(shop.answer(&beyond, "skus", Action::Update, facts), "not_granted", "it grants nothing");
    assert_eq!(shop.answer(&beyond, "orders", Action::Update, facts.status("draft")), "narrowed");
    let nothing = narrowed(&["admin"], json!({}));
    assert_eq!(shop.answer(&nothing, "orders", Action::Read, facts), "narrowed");
    let elsewhere = narrowed(&["admin"], json!({"things_of_another_service": ["read"]}));
    assert!(shop.guard.actions(elsewhere.claims()).is_empty());
}

#[test]
fn limits_that_cannot_be_read_make_no_token() {
    let shop = Shop::new();
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("s{n}"), json!([]))).collect();
    for bad in [
        json!({"orders": ["raed"]}),
        json!({"orders": ["read", 7]}),
        json!({"orders": "read"}),
        json!({"Orders": ["read"]}),
        json!(["orders"]),
        json!("*"),
        json!(null),
        Value::Object(many),
    ] {
        let token = shop.issuer.token(|claims| {
            claims["rol"] = json!(["admin"]);
            claims["perm"] = bad.clone();
        });
        let denied = shop.guard.check(&token, NOW).unwrap_err();
        assert_eq!(denied.code(), "malformed", "{bad}");
    }
}

#[test]
fn whoever_is_kept_to_markets_is_kept_to_them_in_everything() {
    let shop = Shop::new();
    let kept = shop.fenced(&["admin", "within_markets"]);
    let (inside, outside) = (Facts::new().market("m1"), Facts::new().market("m3"));
    for subject in ["orders", "returns", "customers", "loyalty_points"] {
        assert_eq!(shop.answer(&kept, subject, Action::Update, inside), "allowed", "{subject}");
        assert_eq!(shop.answer(&kept, subject, Action::Update, outside), "outside_markets", "{subject}");
        assert_eq!(shop.answer(&kept, subject, Action::Update, Facts::new()), "attribute_missing");
    }
    assert_eq!(shop.answer(&kept, "skus", Action::Read, Facts::new().sellable_in("m2")), "allowed");
    assert_ne!(shop.answer(&kept, "skus", Action::Read, Facts::new().sellable_in("m3")), "allowed");
    assert_ne!(shop.answer(&kept, "skus", Action::Update, Facts::new().sellable_in("m2")), "allowed");
    assert_eq!(shop.answer(&kept, "organization", Action::Read, Facts::new().id(ORGANIZATION)), "allowed");
    let filter = shop.guard.filter(&kept, "orders", Action::List).unwrap();
    assert_eq!(filter.markets().map(<[String]>::len), Some(2));
    let alone = shop.fenced(&["within_markets", "AbCdEfGhIj/clerk"]);
    assert_eq!(shop.answer(&alone, "returns", Action::Read, inside), "not_granted", "it grants nothing");
}
