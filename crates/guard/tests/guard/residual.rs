//! What is left to ask of each row of a list.

use portcullis_guard::policy::{Permission, Restriction, Role};
use portcullis_guard::{Action, Facts, Policy};
use serde_json::json;

use crate::issuer::{Issuer, NOW, ORGANIZATION};

const CUSTOMER: &str = "OpQrStUvWx";

#[test]
fn a_customer_lists_what_is_his() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let token = issuer.token(|claims| {
        claims["rol"] = json!(["sales_channel_customer"]);
        claims["owner"] = json!({"id": CUSTOMER, "type": "Customer"});
    });
    let access = guard.check(&token, NOW).unwrap();
    let orders = guard.filter(&access, "orders", Action::List).unwrap();
    assert_eq!(
        (orders.owner(), orders.markets(), orders.organization()),
        (Some(CUSTOMER), None, Some(ORGANIZATION))
    );
    let items = guard.filter(&access, "line_items", Action::List).unwrap();
    assert_eq!(items.all()[0][0].order_owner, Some(CUSTOMER));
    assert!(guard.filter(&access, "addresses", Action::List).is_err());
}

#[test]
fn a_guest_lists_what_the_market_sells() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let token = issuer.token(|claims| {
        claims["rol"] = json!(["sales_channel_guest"]);
        claims["scope"] = "market:id:m1".into();
        claims["market"] =
            json!({"id": ["m1"], "stock_location_ids": ["s1"], "geocoder_id": null, "allows_external_prices": false});
    });
    let access = guard.check(&token, NOW).unwrap();
    let only = ["m1".to_owned()];
    assert_eq!(guard.filter(&access, "skus", Action::List).unwrap().all()[0][0].sellable_in, Some(&only[..]));
    assert_eq!(
        guard.filter(&access, "prices", Action::List).unwrap().all()[0][0].price_lists_of,
        Some(&only[..])
    );
    assert_eq!(guard.filter(&access, "bundles", Action::List).unwrap().markets(), Some(&only[..]));
    assert!(guard.filter(&access, "promotions", Action::List).unwrap().all().is_empty());
    assert!(guard.filter(&access, "orders", Action::List).is_err());
}

/// Every role has its say, alternatives stay alternatives, and what nobody can pass is not offered.
#[test]
fn roles_add_up_and_alternatives_stay_apart() {
    let status = |set: &[&str]| Restriction::StatusIn(set.iter().map(|it| (*it).to_owned()).collect());
    let list = |subject: &str| Permission::new(subject, [Action::List]);
    let one = Role::new([
        list("orders").when(Restriction::OwnerIsTokenCustomer),
        list("orders").when(status(&["draft", "placed"])).when(status(&["placed", "approved"])),
        list("returns").when(Restriction::OwnerIsTokenCustomer),
        list("refunds").when(status(&["a"])).when(status(&["b"])),
        list("skus").when(Restriction::Enabled),
        list("skus").when(Restriction::MarketScope),
    ]);
    let other = Role::new([
        list("orders").when(Restriction::Enabled),
        list("skus"),
        list("returns"),
        list("refunds"),
    ]);
    let policy = Policy::new(1).with_role("AbCdEfGhIj/one", one).unwrap();
    let policy = policy.with_role("AbCdEfGhIj/other", other).unwrap();
    let issuer = Issuer::new();
    let guard = issuer.guard().policy(policy).build().unwrap();
    let token = issuer.token(|claims| claims["rol"] = json!(["AbCdEfGhIj/one", "AbCdEfGhIj/other"]));
    let access = guard.check(&token, NOW).unwrap();
    let orders = guard.filter(&access, "orders", Action::List).unwrap();
    let [first, second] = orders.all() else { panic!("two roles have a say") };
    // Nobody owns this token, so of the first role's alternatives only the status is left.
    assert_eq!(first[0].statuses, Some(vec!["placed".to_owned()]));
    assert_eq!((first.len(), second.len(), second[0].enabled), (1, 1, true));
    assert!(guard.filter(&access, "returns", Action::List).is_err());
    assert!(guard.filter(&access, "refunds", Action::List).is_err());
    // In every market, a market fence is no condition at all, and then neither is its alternative.
    assert!(guard.filter(&access, "skus", Action::List).unwrap().all().is_empty());
    assert!(guard.permit(&access, "skus", Action::List, &Facts::new()).is_ok());
}
