//! `GET /oauth/tokeninfo`: what the bearer's own token may do, in the vendor's words.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::refusal::Not;

use super::heard::bearer;
use super::reply::{self, At, Denied};
use crate::house::House;

pub async fn answer(house: web::Data<House>, request: HttpRequest) -> Result<HttpResponse, Denied> {
    let at = Denied::at(At::TokenInfo);
    let token = bearer(&request).map_err(|refusal| at(Not::Refused(refusal)))?;
    let found = house.authority.token_info(token).await.map_err(at)?;
    Ok(reply::no_store(reply::json(&found)))
}
