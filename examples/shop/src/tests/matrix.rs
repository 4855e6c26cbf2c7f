//! The vendor's two sales-channel tables, row by row and action by action, through the real guard and the
//! real routes of the shop, as far as the shop has the resource. What is ticked is let through to the
//! handler, what is not is forbidden before it.

use actix_web::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Town;

const TABLES: &str = include_str!("../../../../tests/vectors/commerce-layer-permissions.json");

/// Every route of a resource: the tick, the method and the path.
fn routes(resource: &str) -> Vec<(&'static str, Method, String)> {
    let (all, one) = (format!("/api/{resource}"), format!("/api/{resource}/nobody"));
    match resource {
        "orders" | "skus" => vec![
            ("list", Method::GET, all.clone()),
            ("create", Method::POST, all),
            ("show", Method::GET, one.clone()),
            ("update", Method::PATCH, one.clone()),
            ("destroy", Method::DELETE, one),
        ],
        "customers" => vec![("create", Method::POST, all), ("show", Method::GET, one)],
        "organization" | "application" => vec![("show", Method::GET, all)],
        _ => Vec::new(),
    }
}

fn ticked(row: &Value, word: &str) -> bool {
    let tick = match word {
        "show" | "list" => &row["read"][word],
        word => &row[word],
    };
    *tick == true
}

#[actix_web::test]
async fn every_row_of_the_tables_holds_at_the_routes_of_the_shop() {
    let town = Town::new();
    let tables: Value = serde_json::from_str(TABLES).unwrap();
    let (guest, customer) = (town.guest(), town.customer("nobody"));
    let rows = |table: usize| tables["matrices"][table]["rows"].as_array().unwrap().clone();
    let (mut allowed, mut refused) = (0, 0);
    for resource in ["orders", "skus", "customers", "organization", "application"] {
        for (word, method, path) in routes(resource) {
            let says =
                |table: usize| rows(table).iter().any(|row| row["resource"] == resource && ticked(row, word));
            // A logged-in customer may do what a guest may, and more.
            for (token, may) in [(&guest, says(0)), (&customer, says(0) || says(1))] {
                let body = json!({ "data": { "type": resource, "attributes": {} } });
                let body = Some(body).filter(|_| !matches!(method, Method::GET | Method::DELETE));
                let (status, said) = town.send(token, method.clone(), &path, body).await;
                let forbidden = status == StatusCode::FORBIDDEN;
                assert_eq!(!forbidden, may, "{method} {path} {word}: {status} {said}");
                if may { allowed += 1 } else { refused += 1 }
            }
        }
    }
    println!("matrix at the shop: {allowed} allowed and {refused} refused as the tables say");
}
