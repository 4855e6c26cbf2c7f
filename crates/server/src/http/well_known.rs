//! What anybody may know: the public keys (RFC 7517) and what the server can do (RFC 8414).

use actix_web::{HttpResponse, web};

use super::reply;
use crate::house::House;

pub async fn keys(house: web::Data<House>) -> HttpResponse {
    reply::public_document(house.authority.jwks())
}

pub async fn metadata(house: web::Data<House>) -> HttpResponse {
    reply::public_document(house.authority.metadata().to_string())
}
