//! `GET /`: what this server is, for people who come by.

use actix_web::{HttpResponse, web};

use super::page::{self, FrontPage};
use crate::house::House;

pub async fn answer(house: web::Data<House>) -> HttpResponse {
    page::show(&FrontPage { issuer: &house.settings.issuer }, None)
}
