//! The listener for those who watch: `/metrics` and nothing else. It is bound by itself, so that the public
//! address never says how busy the shop is.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, Error, HttpResponse, web};

use super::addresses::{Addresses, get};
use super::reply::{self, Denied};
use crate::telemetry::{CONTENT_TYPE, Window};

/// The whole application of the metrics listener.
pub fn door(
    window: web::Data<Window>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(window)
        .configure(|app| Addresses::of(app).open(get("/metrics", answer)))
        .default_service(web::to(reply::nothing_here))
}

async fn answer(window: web::Data<Window>) -> Result<HttpResponse, Denied> {
    let mut page = reply::text(window.page().map_err(Denied::Broken)?);
    reply::set(&mut page, ("content-type", CONTENT_TYPE));
    Ok(page)
}
