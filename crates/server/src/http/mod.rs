//! The door: HTTP in, an ask to the authority, HTTP out. Handlers read, make one call and reply; no rule of
//! the protocol lives here, and only `reply.rs` knows a status code.

mod account;
pub mod admin;
mod authorize;
mod browser;
mod consent;
mod cookie;
mod cors;
mod events;
mod feed;
mod form;
mod front;
#[cfg(test)]
mod golden;
mod guard_account;
mod health;
mod heard;
mod introspect;
mod invitation;
mod legacy;
pub mod metrics;
mod own_password;
pub(crate) mod page;
pub mod plain;
mod provisioning;
mod reply;
mod revoke;
mod second_factor;
mod sign_in;
#[cfg(test)]
pub(crate) mod tests;
mod token;
mod token_info;
mod visit;
mod well_known;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, Error, FromRequest, Handler, Resource, Responder, web};

use crate::house::House;

/// The whole application, with everything around it that every answer needs.
pub fn door(
    house: web::Data<House>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new().app_data(house).wrap(from_fn(visit::accompany)).configure(heard::teach).configure(routes)
}

fn routes(app: &mut web::ServiceConfig) {
    // Called by programs and by browser pages of the applications, on the issuer's host and the old ones.
    app.service(post("/oauth/token", token::answer).wrap(from_fn(cors::admit)).wrap(from_fn(legacy::toll)));
    app.service(post("/oauth/revoke", revoke::answer).wrap(from_fn(cors::admit)).wrap(from_fn(legacy::toll)));
    app.service(post("/oauth/introspect", introspect::answer));
    app.service(get("/oauth/tokeninfo", token_info::answer));

    // Seen by people. No browser page may call these (RFC 9700 section 2.6).
    app.service(get("/oauth/authorize", authorize::answer));
    app.service(post("/oauth/authorize/sign-in", sign_in::answer));
    app.service(post("/oauth/authorize/second-factor", second_factor::answer));
    app.service(post("/oauth/authorize/password", own_password::answer));
    app.service(both("/oauth/invitation", invitation::ask, invitation::answer));
    app.service(both("/oauth/account", account::ask, account::answer));
    app.service(both("/oauth/authorize/consent", consent::ask, consent::answer));
    app.service(get("/", front::answer));

    // Public documents.
    app.service(get("/.well-known/jwks.json", well_known::keys));
    app.service(get("/.well-known/oauth-authorization-server", well_known::metadata));

    // The feed, for guards (docs/revocation.md).
    app.service(get("/.well-known/rv-jwks.json", feed::keys));
    app.service(get("/revocations/time", feed::time));
    app.service(get("/revocations/{feed}/manifest", feed::manifest));
    app.service(get("/revocations/{feed}/segments/{sha256}", feed::segment));
    app.service(get("/revocations/{feed}/tail", feed::tail));
    app.service(get("/revocations/{feed}/stream", feed::stream));
    app.service(get("/policy/{sha256}", feed::policy));
    app.service(post("/guards/report", feed::report));
    app.service(get("/feed/guards", feed::guards));

    // The vendor's provisioning host and path.
    provisioning::routes(app);

    app.service(get("/healthz", health::alive));
    app.service(get("/readyz", health::ready));
    app.default_service(web::to(reply::nothing_here));
}

fn get<F, Args>(path: &'static str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
        .default_service(web::to(async || reply::wrong_method("GET, HEAD")))
}

fn post<F, Args>(path: &'static str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    web::resource(path)
        .route(web::post().to(handler))
        .default_service(web::to(async || reply::wrong_method("POST")))
}

/// A page that asks (GET) and hears the answer (POST).
fn both<G, GetArgs, P, PostArgs>(path: &'static str, ask: G, answer: P) -> Resource
where
    G: Handler<GetArgs, Output: Responder + 'static>,
    GetArgs: FromRequest + 'static,
    P: Handler<PostArgs, Output: Responder + 'static>,
    PostArgs: FromRequest + 'static,
{
    web::resource(path)
        .route(web::get().to(ask))
        .route(web::post().to(answer))
        .default_service(web::to(async || reply::wrong_method("GET, POST")))
}
