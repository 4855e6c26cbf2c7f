//! The operators' listener: `/admin/v1`, on an address of its own. Nothing of it is mounted on the public door.
//!
//! An endpoint is a line in its room's `ROUTES`, and a room is a line in [`ROOMS`]: the gate, the roles, the
//! audit of refusals and of reads, and the OpenAPI document all follow from the table.

mod account;
pub mod audit;
pub mod call;
mod cuts;
#[cfg(test)]
mod duties;
mod factors;
mod gate;
mod held;
mod invitations;
mod keys;
mod offboardings;
mod openapi;
mod operators;
mod orders;
mod organizations;
mod people;
mod people_invitations;
mod proposals;
mod retention;
mod reviews;
pub mod route;
mod secrets;
mod sessions;
mod status;
#[cfg(test)]
mod tests;
mod threshold;
mod used;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, Error, Resource, web};

use super::{health, reply, visit};
use crate::lodge::Lodge;
use route::Route;
pub use route::Success;

/// Where everything is.
pub const BASE: &str = "/admin/v1";

/// Every endpoint, by the room that answers it.
const ROOMS: &[&[Route]] = &[
    sessions::ROUTES,
    status::ROUTES,
    retention::ROUTES,
    account::ROUTES,
    operators::ROUTES,
    invitations::ROUTES,
    // Before its neighbour with a name in this place: of two that fit, the first is taken.
    people_invitations::ROUTES,
    people::ROUTES,
    factors::ROUTES,
    held::ROUTES,
    used::ROUTES,
    secrets::ROUTES,
    organizations::ROUTES,
    audit::ROUTES,
    cuts::ROUTES,
    offboardings::ROUTES,
    proposals::ROUTES,
    reviews::ROUTES,
    keys::ROUTES,
    openapi::ROUTES,
];

fn every_route() -> impl Iterator<Item = &'static Route> {
    ROOMS.iter().copied().flatten()
}

/// The whole application of the operators' listener.
pub fn door(
    lodge: web::Data<Lodge>,
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
        .app_data(lodge.house.clone())
        .app_data(lodge)
        .wrap(from_fn(threshold::cross))
        .wrap(from_fn(visit::accompany))
        .configure(routes)
}

fn routes(app: &mut web::ServiceConfig) {
    let mut paths: Vec<&'static str> = Vec::new();
    for path in every_route().map(|route| route.path) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    for path in paths {
        app.service(resource(path));
    }
    app.route("/healthz", web::get().to(health::alive));
    app.route("/readyz", web::get().to(health::ready));
    app.default_service(web::to(async || reply::admin::nothing_here()));
}

/// Everything at one path.
fn resource(path: &'static str) -> Resource {
    let here: Vec<_> = every_route().filter(|route| route.path == path).collect();
    let allowed: Vec<_> = here.iter().map(|route| route.method.as_str()).collect();
    let allowed = allowed.join(", ");
    let mut resource = web::resource(format!("{BASE}{path}"));
    for route in here {
        let answer = async move |lodge, request, payload| gate::answer(route, lodge, request, payload).await;
        resource = resource.route(web::method(route.method.verb()).to(answer));
    }
    resource.default_service(web::to(move || {
        let answer = reply::admin::wrong_method(&allowed);
        async move { answer }
    }))
}
