//! The table and the document that is made from it.

use std::collections::BTreeSet;

use super::{BASE, every_route, openapi};
use crate::http::golden;

#[test]
fn the_document_says_what_the_table_says() {
    let document = openapi::document();
    let mut told = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            told.insert(format!("{} {path}", method.to_uppercase()));
            assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{path}");
        }
    }
    let made: BTreeSet<_> =
        every_route().map(|route| format!("{} {BASE}{}", route.method.as_str(), route.path)).collect();
    assert_eq!(told, made);
    assert_eq!(every_route().count(), made.len(), "no endpoint stands in the table twice");
}

#[test]
fn the_document_is_the_one_that_was_reviewed() {
    golden::compare("admin-openapi", &openapi::document());
}

#[test]
fn only_the_door_itself_is_open_to_everybody() {
    let open = every_route().filter(|route| route.roles.is_empty());
    let open: Vec<_> = open.map(|route| format!("{} {}", route.method.as_str(), route.path)).collect();
    let expected =
        ["POST /sessions", "POST /invitations/open", "POST /invitations/accept", "GET /openapi.json"];
    assert_eq!(open, expected);
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = openapi::document();
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for rest in text.split("#/components/schemas/").skip(1) {
        let name = rest.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}
