//! `POST /oauth/revoke` (RFC 7009). The answer says where in the feed the end of the token stands. With
//! `Prefer: wait=N` (RFC 7240) it also waits, at most N seconds, until every connected guard has applied
//! it, and carries a signed receipt of who has.

use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::heard::{Heard, asked_wait};
use super::reply::{self, At, Denied};
use crate::house::House;

pub async fn answer(
    house: web::Data<House>,
    heard: Heard,
    request: HttpRequest,
) -> Result<HttpResponse, Denied> {
    let patience = asked_wait(&request);
    let position = house.authority.revoke(&heard.0).await.map_err(Denied::at(At::Revoke))?;
    // An empty object, not an empty body: the vendor's client parses it.
    let mut answer = reply::no_store(reply::json(&json!({})));
    let Some(position) = position else { return Ok(answer) };
    let place = format!("{} {position}", house.hub.feed());
    reply::set(&mut answer, (HeaderName::from_static("revocation-position"), place));
    if let Some(patience) = patience {
        let receipt = house.hub.settle(position, house.hub.time_ms(), patience).await;
        let signed = house.hub.signed(&receipt);
        reply::set(&mut answer, (HeaderName::from_static("revocation-receipt"), signed));
        let applied = format!("wait={}", patience.as_secs());
        reply::set(&mut answer, (HeaderName::from_static("preference-applied"), applied));
    }
    Ok(answer)
}
