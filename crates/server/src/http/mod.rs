//! The door: HTTP in, an ask to the authority, HTTP out. Handlers read, make one call and reply; no rule of
//! the protocol lives here, and only `reply.rs` knows a status code.

mod account;
mod addresses;
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
use actix_web::{App, Error, web};

use crate::house::House;
use addresses::{Addresses, both, get, post};

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
    App::new()
        .app_data(house)
        .wrap(from_fn(visit::accompany))
        .configure(heard::teach)
        .configure(|app| routes(&mut Addresses::of(app)))
}

/// Everything that the public listener answers, as `METHOD /path`. Tests walk it, so that nothing is opened here
/// of which nobody has said what it leaves in the audit log.
pub fn addresses() -> Vec<String> {
    let mut listed = Vec::new();
    let _ = App::new().configure(|app| {
        let mut at = Addresses::of(app);
        routes(&mut at);
        listed = at.listed();
    });
    listed
}

fn routes(at: &mut Addresses<'_>) {
    // Called by programs and by browser pages of the applications, on the issuer's host and the old ones.
    let token = post("/oauth/token", token::answer);
    at.open(token.within(|it| it.wrap(from_fn(cors::admit)).wrap(from_fn(legacy::toll))));
    let revoke = post("/oauth/revoke", revoke::answer);
    at.open(revoke.within(|it| it.wrap(from_fn(cors::admit)).wrap(from_fn(legacy::toll))));
    at.open(post("/oauth/introspect", introspect::answer));
    at.open(get("/oauth/tokeninfo", token_info::answer));

    // Seen by people. No browser page may call these (RFC 9700 section 2.6).
    at.open(get("/oauth/authorize", authorize::answer));
    at.open(post("/oauth/authorize/sign-in", sign_in::answer));
    at.open(post("/oauth/authorize/second-factor", second_factor::answer));
    at.open(post("/oauth/authorize/password", own_password::answer));
    at.open(both("/oauth/invitation", invitation::ask, invitation::answer));
    at.open(both("/oauth/account", account::ask, account::answer));
    at.open(both("/oauth/authorize/consent", consent::ask, consent::answer));
    at.open(get("/", front::answer));

    // Public documents.
    at.open(get("/.well-known/jwks.json", well_known::keys));
    at.open(get("/.well-known/oauth-authorization-server", well_known::metadata));

    // The feed, for guards (docs/revocation.md).
    at.open(get("/.well-known/rv-jwks.json", feed::keys));
    at.open(get("/revocations/time", feed::time));
    at.open(get("/revocations/{feed}/manifest", feed::manifest));
    at.open(get("/revocations/{feed}/segments/{sha256}", feed::segment));
    at.open(get("/revocations/{feed}/tail", feed::tail));
    at.open(get("/revocations/{feed}/stream", feed::stream));
    at.open(get("/policy/{sha256}", feed::policy));
    at.open(post("/guards/report", feed::report));
    at.open(get("/feed/guards", feed::guards));

    // The vendor's provisioning host and path.
    provisioning::routes(at);

    at.open(get("/healthz", health::alive));
    at.open(get("/readyz", health::ready));
    at.otherwise(reply::nothing_here);
}
