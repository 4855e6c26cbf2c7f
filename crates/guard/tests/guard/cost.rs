//! What a check of a permission asks of the allocator: nothing, whatever the role restricts and however far
//! the token is narrowed. How long it takes is for `make bench` to say.

use portcullis_guard::policy::{Permission, Restriction, Role, subjects};
use portcullis_guard::{Action, Facts, Guard, Policy};
use serde_json::json;

use crate::issuer::{Issuer, NOW, ORGANIZATION};

/// As many custom roles as the bench has, each on every subject there is, half of them restricted.
fn guard(issuer: &Issuer) -> Guard {
    let permission = |name: &str, fenced: bool| {
        let all = Permission::new(name, [Action::Read, Action::List, Action::Update]);
        let statuses = Restriction::StatusIn(vec!["draft".into(), "placed".into()]);
        if fenced { all.when(Restriction::MarketScope).when(statuses) } else { all }
    };
    let role = |fenced: bool| Role::new(subjects().map(|name| permission(name, fenced)));
    let policy = (0..50).fold(Policy::new(1), |policy, n| {
        policy.with_role(&format!("{ORGANIZATION}/role-{n}"), role(n % 2 == 1)).unwrap()
    });
    issuer.guard().policy(policy).build().unwrap()
}

#[test]
fn a_permission_is_checked_without_an_allocation() {
    let issuer = Issuer::new();
    let guard = guard(&issuer);
    let orders = guard.subject_id("orders").unwrap();
    let names: Vec<String> = subjects().take(31).map(str::to_owned).collect();
    for (roles, narrowed) in
        [(["role-0", "role-2"], false), (["role-1", "role-3"], false), (["role-1", "role-48"], true)]
    {
        let token = issuer.token(|claims| {
            claims["rol"] = roles.iter().map(|role| format!("{ORGANIZATION}/{role}")).collect();
            claims["scope"] = "market:id:m1".into();
            claims["market"] = json!({"id": ["m0", "m1"], "stock_location_ids": [], "geocoder_id": null,
                "allows_external_prices": false});
            if narrowed {
                claims["perm"] = names.iter().map(|name| (name.clone(), json!(["read"]))).collect();
                claims["perm"]["orders"] = json!(["read", "update"]);
            }
        });
        let access = guard.check(&token, NOW).unwrap();
        let facts = Facts::new().organization(ORGANIZATION).market("m1").status("placed");
        let answers = |facts: Facts<'_>| {
            [
                guard.permit(&access, orders, Action::Update, &facts).is_ok(),
                guard.permit(&access, "orders", Action::Read, &facts).is_ok(),
                guard.permit(&access, "orders", Action::Destroy, &facts).is_ok(),
                guard.permit(&access, "orders", Action::Update, &facts.organization("other")).is_ok(),
                guard.permit(&access, "nothing_like_it", Action::Read, &facts).is_ok(),
            ]
        };
        assert_eq!(answers(facts), [true, true, false, false, false], "{roles:?}");
        let restricted = roles[0] == "role-1";
        assert_eq!(answers(facts.market("m2"))[0], !restricted, "{roles:?}");
        let measured = allocation_counter::measure(|| {
            for _ in 0..100 {
                std::hint::black_box(answers(facts));
                std::hint::black_box(answers(facts.status("cancelled")));
            }
        });
        assert_eq!(measured.count_total, 0, "{roles:?}: {measured:?}");
        // The counter counts: a list of a collection's fences is made on the heap.
        let counted = allocation_counter::measure(|| drop(guard.filter(&access, orders, Action::List)));
        assert_eq!(counted.count_total > 0, restricted, "{roles:?}: {counted:?}");
    }
}
