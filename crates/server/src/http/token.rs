//! `POST /oauth/token` (RFC 6749 section 3.2).

use actix_web::{HttpRequest, HttpResponse, web};

use super::heard::Heard;
use super::reply::{self, At, Denied};
use super::visit;
use crate::house::House;

pub async fn answer(
    house: web::Data<House>,
    heard: Heard,
    request: HttpRequest,
) -> Result<HttpResponse, Denied> {
    let done = house.authority.token(&heard.0).await;
    let desk = house.authority.desk();
    visit::stands(&request, desk.limits.standing(desk, &heard.0, done.is_ok()));
    Ok(reply::no_store(reply::json(&done.map_err(Denied::at(At::Token))?)))
}
