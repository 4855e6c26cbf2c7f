//! Whether the server lives, and whether it can work. Neither says anything about the inside.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::reply;
use crate::house::House;

/// The process answers.
pub async fn alive() -> HttpResponse {
    reply::no_store(reply::json(&json!({ "status": "ok" })))
}

/// The ledger answers too: without it nothing can be promised. It is asked for a session that cannot be,
/// which costs one lookup by key. Nor is a server ready whose feed guards cannot rely on.
pub async fn ready(house: web::Data<House>) -> HttpResponse {
    if house.departure.has_begun() {
        return reply::leaving();
    }
    let looked = house.authority.desk().ledger.session("readiness").await;
    reply::ready(looked.err().or_else(|| house.hub.ails()).as_ref())
}
