//! Answers as files under `tests/golden/http`, so that a change of what clients see is a line in a diff.
//! `UPDATE_GOLDEN=1` writes them anew; reviewing is reading the diff.

use std::path::Path;

use actix_web::body::to_bytes;
use actix_web::{HttpResponse, ResponseError as _};
use serde_json::{Map, Value, json};

use super::reply::Denied;

/// Compares with `<name>.json`.
pub fn compare(name: &str, seen: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/http/{name}.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(seen).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{name} has changed; if it should, run the tests with UPDATE_GOLDEN=1");
}

/// Compares a refusal.
pub async fn compare_denied(name: &str, denied: &Denied) {
    compare(name, &shown(denied.error_response()).await);
}

/// Status, headers and body of an answer.
pub async fn shown(answer: HttpResponse) -> Value {
    let status = answer.status().as_u16();
    let mut headers = Map::new();
    for (name, value) in answer.headers() {
        headers.insert(name.to_string(), value.to_str().unwrap().into());
    }
    headers.sort_keys();
    let body = to_bytes(answer.into_body()).await.map_err(|_| "the body breaks off").unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    json!({ "status": status, "headers": headers, "body": body })
}
