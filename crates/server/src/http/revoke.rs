//! `POST /oauth/revoke` (RFC 7009). The answer says where in the feed the end of the token stands, so that
//! a caller can wait for the guards to have seen it.

use actix_web::http::header::HeaderName;
use actix_web::{HttpResponse, web};
use serde_json::json;

use super::heard::Heard;
use super::reply::{self, At, Denied};
use crate::house::House;

pub async fn answer(house: web::Data<House>, heard: Heard) -> Result<HttpResponse, Denied> {
    let position = house.authority.revoke(&heard.0).await.map_err(Denied::at(At::Revoke))?;
    // An empty object, not an empty body: the vendor's client parses it.
    let mut answer = reply::no_store(reply::json(&json!({})));
    if let Some(position) = position {
        let place = format!("{} {position}", house.settings.feed.name);
        reply::set(&mut answer, (HeaderName::from_static("revocation-position"), place));
    }
    Ok(answer)
}
