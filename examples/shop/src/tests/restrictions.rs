//! The vendor's two sales-channel tables in full: a counter for every row and action, behind the shop's own
//! guard and gate, where the handler knows of the resource what the request says that it knows. What is
//! ticked is let through where its restrictions hold, and refused where one is broken or not known.

use std::collections::BTreeMap;

use actix_web::http::{Method, StatusCode, header};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpRequest, HttpResponse, web};
use portcullis_guard::actix::{Authenticated, Gate, Refused};
use portcullis_guard::{Action, Facts};
use serde_json::{Value, json};

use super::Town;

const TABLES: &str = include_str!("../../../../tests/vectors/commerce-layer-permissions.json");
/// Rows where we decided otherwise than the table; see `docs/permissions.md`.
const DECIDED: [&str; 1] = ["parcels"];
const MARKET: &str = "europe";
const STOCK: &str = "milan";
const CUSTOMER: &str = "anna";
/// What a request says that the handler knows.
const KNOWN: &str = "x-known";

/// What is known of a resource, by the names of [`Facts`].
type Knowledge = BTreeMap<&'static str, Value>;

const ACTIONS: [(&str, Method, Action); 5] = [
    ("create", Method::POST, Action::Create),
    ("show", Method::GET, Action::Read),
    ("list", Method::PUT, Action::List),
    ("update", Method::PATCH, Action::Update),
    ("destroy", Method::DELETE, Action::Destroy),
];

fn facts(known: &Value) -> Facts<'_> {
    let text = |name: &str| known[name].as_str();
    let mut facts = Facts::new();
    facts = text("organization").map_or(facts, |it| facts.organization(it));
    facts = text("market").map_or(facts, |it| facts.market(it));
    facts = text("price_list_of").map_or(facts, |it| facts.price_list_of(it));
    facts = text("sellable_in").map_or(facts, |it| facts.sellable_in(it));
    facts = text("stock_location").map_or(facts, |it| facts.stock_location(it));
    facts = text("id").map_or(facts, |it| facts.id(it));
    facts = text("owner").map_or(facts, |it| facts.owner(it));
    facts = text("order_owner").map_or(facts, |it| facts.order_owner(it));
    facts = text("status").map_or(facts, |it| facts.status(it));
    facts = text("order_status").map_or(facts, |it| facts.order_status(it));
    known["enabled"].as_bool().map_or(facts, |it| facts.enabled(it))
}

/// The fact that a restriction looks at, as it should be and otherwise.
fn fact_of(restriction: &Value, resource: &str) -> (&'static str, Value, Value) {
    let otherwise = || json!("somebody-else");
    if let Some((name, set)) = restriction.as_object().and_then(|one| one.iter().next()) {
        // Every set of statuses in the tables holds `draft`, and none holds `cancelled`.
        assert!(set.as_array().unwrap().contains(&json!("draft")));
        let fact = if name == "status_in" { "status" } else { "order_status" };
        return (fact, json!("draft"), json!("cancelled"));
    }
    match restriction.as_str().unwrap() {
        "market_scope"
        | "order_in_market_scope"
        | "reachable_shipping_methods"
        | "market_scope_or_price_list_currency" => ("market", json!(MARKET), otherwise()),
        "market_price_list" => ("price_list_of", json!(MARKET), otherwise()),
        "market_stock_locations" => ("stock_location", json!(STOCK), otherwise()),
        "sellable_in_market" => ("sellable_in", json!(MARKET), otherwise()),
        "enabled" => ("enabled", json!(true), json!(false)),
        "self" if resource == "application" => ("id", json!("app"), otherwise()),
        "self" => ("id", json!("acme"), otherwise()),
        "owner_is_token_customer" => ("owner", json!(CUSTOMER), otherwise()),
        through if through.ends_with("order_owner_is_token_customer") => {
            ("order_owner", json!(CUSTOMER), otherwise())
        }
        word => panic!("the tables have a word that this test does not know: {word}"),
    }
}

fn ticked(row: &Value, word: &str) -> bool {
    let tick = if matches!(word, "show" | "list") { &row["read"][word] } else { &row[word] };
    *tick == true
}

/// The restrictions of a row on an action.
fn restrictions(row: &Value, word: &str) -> Vec<Value> {
    let word = if matches!(word, "show" | "list") { "read" } else { word };
    let conditions = row["conditions"].as_array().unwrap().iter();
    let named = conditions.flat_map(|condition| condition.as_object().unwrap().clone());
    let mine = named.filter(|(on, _)| on == "all" || on.split(',').any(|on| on == word));
    mine.map(|(_, what)| what).filter(|what| what != "single_resource_only").collect()
}

/// The names that a row is about.
fn names(row: &Value) -> Vec<String> {
    let mut names = vec![row["resource"].as_str().unwrap().to_owned()];
    for more in [&row["expands_to"], &row["alias"]] {
        let listed = more.as_array().cloned().unwrap_or_else(|| vec![more.clone()]);
        names.extend(listed.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    names
}

/// One thing to try: who, what, with which knowledge, and whether it must be let through.
struct Try {
    customer: bool,
    resource: String,
    word: &'static str,
    known: Knowledge,
    allowed: bool,
}

/// Everything that a row says of one name and action. `or` is the row of the same name in the table of
/// guests, which a logged-in customer may use as well.
fn tries(customer: bool, resource: &str, word: &'static str, row: &Value, or: Option<&Value>) -> Vec<Try> {
    let (granted, elsewhere) = (ticked(row, word), or.is_some_and(|or| ticked(or, word)));
    let of: Vec<_> = restrictions(row, word).iter().map(|it| fact_of(it, resource)).collect();
    let mut right = Knowledge::from([("organization", json!("acme"))]);
    right.extend(of.iter().map(|(fact, good, _)| (*fact, good.clone())));
    let one = |known: Knowledge, allowed| Try { customer, resource: resource.into(), word, known, allowed };
    let free_elsewhere = elsewhere && restrictions(or.expect("elsewhere"), word).is_empty();
    let mut all = vec![one(right.clone(), granted || free_elsewhere)];
    let mut foreign = right.clone();
    foreign.insert("organization", json!("other"));
    all.push(one(foreign, false));
    // What the other table grants as well is for the other table to refuse.
    for (fact, _, wrong) in of.iter().filter(|_| granted && !elsewhere) {
        let mut broken = right.clone();
        broken.insert(fact, wrong.clone());
        let mut unknown = right.clone();
        unknown.remove(fact);
        all.extend([one(broken, false), one(unknown, false)]);
    }
    all
}

fn everything() -> Vec<Try> {
    let tables: Value = serde_json::from_str(TABLES).unwrap();
    let rows = |table: usize| tables["matrices"][table]["rows"].as_array().unwrap().clone();
    let (guest, customer) = (rows(0), rows(1));
    let mut all = Vec::new();
    for (word, ..) in ACTIONS {
        for row in &guest {
            for name in names(row) {
                all.extend(tries(false, &name, word, row, None));
                let added = customer.iter().any(|other| other["resource"] == row["resource"]);
                all.extend(if added { Vec::new() } else { tries(true, &name, word, row, None) });
            }
        }
        for row in customer.iter().filter(|row| !DECIDED.contains(&row["resource"].as_str().unwrap())) {
            let or = guest.iter().find(|other| other["resource"] == row["resource"]);
            all.extend(tries(true, row["resource"].as_str().unwrap(), word, row, or));
        }
    }
    all
}

#[actix_web::test]
async fn every_row_action_and_restriction_holds_behind_the_guard_of_the_shop() {
    let town = Town::new();
    let in_europe = |mut change: Value| {
        change["scope"] = format!("market:id:{MARKET}").into();
        change["market"] = json!({"id": [MARKET], "stock_location_ids": [STOCK], "geocoder_id": null,
            "allows_external_prices": false});
        change
    };
    let guest = town.token("sales_channel_guest", in_europe(json!({})));
    let owner = json!({"owner": {"id": CUSTOMER, "type": "Customer"}, "sub": CUSTOMER});
    let customer = town.token("sales_channel_customer", in_europe(owner));
    let tries = everything();
    let mut resources: Vec<&str> = tries.iter().map(|one| one.resource.as_str()).collect();
    resources.sort_unstable();
    resources.dedup();
    let mut gate = Gate::new(town.shop.guard.clone());
    let mut counters = web::scope("");
    for resource in &resources {
        let path = format!("/{resource}");
        for (_, method, action) in ACTIONS {
            gate = gate.require(method.clone(), &path, resource, action);
            let subject = (*resource).to_owned();
            let counter = move |found: Authenticated, request: HttpRequest| {
                let subject = subject.clone();
                async move {
                    let known = request.headers().get(KNOWN).and_then(|it| it.to_str().ok());
                    let known: Value = serde_json::from_str(known.unwrap()).unwrap();
                    found.permit(subject.as_str(), action, &facts(&known))?;
                    Ok::<_, Refused>(HttpResponse::NoContent().finish())
                }
            };
            counters = counters.route(&path, web::method(method).to(counter));
        }
    }
    let app = init_service(App::new().service(counters.wrap(gate))).await;
    let (mut allowed, mut refused) = (0, 0);
    for one in &tries {
        let (_, method, _) = ACTIONS.iter().find(|(word, ..)| *word == one.word).unwrap();
        let token = if one.customer { &customer } else { &guest };
        let request = TestRequest::default()
            .method(method.clone())
            .uri(&format!("/{}", one.resource))
            .insert_header((header::AUTHORIZATION, format!("Bearer {token}")))
            .insert_header((KNOWN, serde_json::to_string(&one.known).unwrap()));
        let status = call_service(&app, request.to_request()).await.status();
        let expected = if one.allowed { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
        assert_eq!(
            status, expected,
            "{} {} {:?} customer: {}",
            one.word, one.resource, one.known, one.customer
        );
        *if one.allowed { &mut allowed } else { &mut refused } += 1;
    }
    println!(
        "tables behind the shop's guard: {} resources, {allowed} allowed and {refused} refused as they say",
        resources.len()
    );
    assert!(allowed > 100 && refused > 300, "{allowed} {refused}");
}
