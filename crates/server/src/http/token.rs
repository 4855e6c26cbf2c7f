//! `POST /oauth/token` (RFC 6749 section 3.2).

use actix_web::{HttpResponse, web};

use super::heard::Heard;
use super::reply::{self, At, Denied};
use crate::house::House;

pub async fn answer(house: web::Data<House>, heard: Heard) -> Result<HttpResponse, Denied> {
    let tokens = house.authority.token(&heard.0).await.map_err(Denied::at(At::Token))?;
    Ok(reply::no_store(reply::json(&tokens)))
}
