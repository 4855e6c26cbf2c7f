//! `POST /oauth/introspect` (RFC 7662).

use actix_web::{HttpResponse, web};

use super::heard::Heard;
use super::reply::{self, At, Denied};
use crate::house::House;

pub async fn answer(house: web::Data<House>, heard: Heard) -> Result<HttpResponse, Denied> {
    let found = house.authority.introspect(&heard.0).await.map_err(Denied::at(At::Introspect))?;
    Ok(reply::no_store(reply::json(&found)))
}
