//! The vendor's two sales-channel tables, row by row and action by action, read from the notes and held
//! against the built-in roles: what is ticked is allowed where its restrictions hold and refused where any
//! one of them is broken or unknown; what is not ticked is refused whatever the facts.

use portcullis_guard::{Access, Action, Facts, Guard};
use serde_json::{Value, json};

use crate::issuer::{Issuer, NOW, ORGANIZATION};

const TABLES: &str = include_str!("../../../../tests/vectors/commerce-layer-permissions.json");
const MARKET: &str = "UvWxYzAbCd";
const STOCK: &str = "EfGhIjKlMn";
const CUSTOMER: &str = "OpQrStUvWx";
const APPLICATION: &str = "KlMnOpQrSt";

/// Rows where we decided otherwise than the table; see `policy.rs`.
const DECIDED: [&str; 1] = ["parcels"];

fn tables() -> Value {
    serde_json::from_str(TABLES).unwrap()
}

fn rows(table: usize) -> Vec<Value> {
    tables()["matrices"][table]["rows"].as_array().unwrap().clone()
}

fn ticked(row: &Value, action: Action) -> bool {
    let tick = match action {
        Action::Create => &row["create"],
        Action::Read => &row["read"]["show"],
        Action::List => &row["read"]["list"],
        Action::Update => &row["update"],
        Action::Destroy => &row["destroy"],
        _ => &Value::Null,
    };
    *tick == true
}

/// The restrictions of a row on an action, in the words of the table.
fn restrictions(row: &Value, action: Action) -> Vec<Value> {
    let word = if matches!(action, Action::Read | Action::List) { "read" } else { action.word() };
    let conditions = row["conditions"].as_array().unwrap().iter();
    let named = conditions.flat_map(|condition| condition.as_object().unwrap().clone());
    let mine = named.filter(|(on, _)| on == "all" || on.split(',').any(|on| on == word));
    mine.map(|(_, what)| what).filter(|what| what != "single_resource_only").collect()
}

/// Facts with what a restriction asks for: as it should be, otherwise, or not at all.
#[derive(Clone, Copy, PartialEq)]
enum Fact {
    Right,
    Wrong,
    Missing,
}

fn facts<'a>(of: &[Value], broken: Option<(usize, Fact)>, resource: &str) -> Facts<'a> {
    let mut facts = Facts::new().organization(ORGANIZATION);
    for (place, what) in of.iter().enumerate() {
        let fact = broken.filter(|(at, _)| *at == place).map_or(Fact::Right, |(_, fact)| fact);
        if fact != Fact::Missing {
            facts = with(facts, what, fact == Fact::Right, resource);
        }
    }
    facts
}

fn with<'a>(facts: Facts<'a>, what: &Value, right: bool, resource: &str) -> Facts<'a> {
    let pick = |good: &'a str| if right { good } else { "ZzZzZzZzZz" };
    if let Some((name, set)) = what.as_object().and_then(|object| object.iter().next()) {
        // Every set of statuses in the tables holds `draft`, and none holds `cancelled`.
        assert!(set.as_array().unwrap().contains(&json!("draft")));
        let status = if right { "draft" } else { "cancelled" };
        return if name == "status_in" { facts.status(status) } else { facts.order_status(status) };
    }
    match what.as_str().unwrap() {
        "market_scope"
        | "order_in_market_scope"
        | "reachable_shipping_methods"
        | "market_scope_or_price_list_currency" => facts.market(pick(MARKET)),
        "market_price_list" => facts.price_list_of(pick(MARKET)),
        "market_stock_locations" => facts.stock_location(pick(STOCK)),
        "sellable_in_market" => facts.sellable_in(pick(MARKET)),
        "enabled" => facts.enabled(right),
        "self" if resource == "application" => facts.id(pick(APPLICATION)),
        "self" => facts.id(pick(ORGANIZATION)),
        "owner_is_token_customer" => facts.owner(pick(CUSTOMER)),
        through_an_order if through_an_order.ends_with("order_owner_is_token_customer") => {
            facts.order_owner(pick(CUSTOMER))
        }
        word => panic!("the tables have a word that this test does not know: {word}"),
    }
}

struct Shop {
    guard: Guard,
    access: Access,
}

impl Shop {
    fn new(role: &str, customer: bool) -> Self {
        let issuer = Issuer::new();
        let guard = issuer.guard().build().unwrap();
        let token = issuer.token(|claims| {
            claims["rol"] = json!([role]);
            claims["scope"] = format!("market:id:{MARKET}").into();
            claims["market"] = json!({"id": [MARKET], "stock_location_ids": [STOCK], "geocoder_id": null,
                                      "allows_external_prices": false});
            if customer {
                claims["owner"] = json!({"id": CUSTOMER, "type": "Customer"});
            }
        });
        let access = guard.check(&token, NOW).unwrap();
        Self { guard, access }
    }

    fn allows(&self, subject: &str, action: Action, facts: &Facts<'_>) -> bool {
        self.guard.permit(&self.access, subject, action, facts).is_ok()
    }

    /// Checks one row for every action; counts what was allowed and what was refused. `or` is the same
    /// resource's row in the table that this one adds to.
    fn check(&self, row: &Value, or: Option<&Value>, counts: &mut (usize, usize)) {
        let resource = row["resource"].as_str().unwrap();
        for action in Action::ALL {
            let granted = ticked(row, action);
            let elsewhere = or.is_some_and(|or| ticked(or, action));
            let of = restrictions(row, action);
            let mut expect = |facts: Facts<'_>, allowed: bool| {
                assert_eq!(self.allows(resource, action, &facts), allowed, "{resource} {action:?} {facts:?}");
                *if allowed { &mut counts.0 } else { &mut counts.1 } += 1;
            };
            expect(
                facts(&of, None, resource),
                granted || elsewhere && restrictions(or.unwrap(), action).is_empty(),
            );
            expect(facts(&of, None, resource).organization("other"), false);
            // What the other table grants as well is for the other table to refuse.
            for place in (0..of.len()).filter(|_| granted && !elsewhere) {
                expect(facts(&of, Some((place, Fact::Wrong)), resource), false);
                expect(facts(&of, Some((place, Fact::Missing)), resource), false);
            }
        }
    }
}

#[test]
fn a_guest_may_do_what_the_first_table_says() {
    let shop = Shop::new("sales_channel_guest", false);
    let mut counts = (0, 0);
    let rows = rows(0);
    for row in &rows {
        shop.check(row, None, &mut counts);
        let names = [&row["expands_to"], &row["alias"]];
        let listed = names.iter().filter_map(|names| names.as_array()).flatten();
        for name in listed.chain(names.iter().copied().filter(|name| name.is_string())) {
            let mut same = row.clone();
            same["resource"] = name.clone();
            shop.check(&same, None, &mut counts);
        }
    }
    println!("guest table: {} rows, {} allowed, {} refused", rows.len(), counts.0, counts.1);
    assert_eq!(rows.len(), 30);
}

#[test]
fn a_customer_may_do_what_the_second_table_adds() {
    let shop = Shop::new("sales_channel_customer", true);
    let mut counts = (0, 0);
    let (guest, rows) = (rows(0), rows(1));
    for row in rows.iter().filter(|row| !DECIDED.contains(&row["resource"].as_str().unwrap())) {
        let or = guest.iter().find(|other| other["resource"] == row["resource"]);
        shop.check(row, or, &mut counts);
    }
    let added: Vec<_> = rows.iter().map(|row| row["resource"].clone()).collect();
    for row in guest.iter().filter(|row| !added.contains(&row["resource"])) {
        shop.check(row, None, &mut counts);
    }
    println!("customer table: {} rows, {} allowed, {} refused", rows.len(), counts.0, counts.1);
    assert_eq!(rows.len(), 9);
}

#[test]
fn a_customer_reads_his_parcels_and_creates_none() {
    let shop = Shop::new("sales_channel_customer", true);
    let (his, hers) = (Facts::new().order_owner(CUSTOMER), Facts::new().order_owner("ZzZzZzZzZz"));
    for action in Action::ALL {
        let reads = matches!(action, Action::Read | Action::List);
        assert_eq!(shop.allows("parcels", action, &his), reads);
        assert!(!shop.allows("parcels", action, &hers));
    }
}

/// What no table names is refused, for every subject of the registry.
#[test]
fn a_subject_that_no_table_names_is_closed_to_sales_channels() {
    let tables = tables();
    let named = [rows(0), rows(1)].concat();
    let is_named = |subject: &str| {
        named.iter().any(|row| {
            let expands = row["expands_to"].as_array().is_some_and(|all| all.contains(&json!(subject)));
            row["resource"] == subject || row["alias"] == subject || expands
        })
    };
    let (guest, customer) =
        (Shop::new("sales_channel_guest", false), Shop::new("sales_channel_customer", true));
    let mut closed = 0;
    for subject in tables["subjects"].as_array().unwrap().iter().filter_map(Value::as_str) {
        if !is_named(subject) {
            closed += 1;
            for action in Action::ALL {
                let facts = Facts::new().market(MARKET).owner(CUSTOMER).enabled(true).status("draft");
                assert!(!guest.allows(subject, action, &facts) && !customer.allows(subject, action, &facts));
            }
        }
    }
    println!("{closed} subjects closed");
    assert!(closed > 80);
}
