//! A guard that has proved who it is, by HTTP Basic with its own id and secret.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_authority::refusal::{Code, Refusal};
use portcullis_authority::secret::Secret;

use super::reply::{At, Denied};
use super::visit;
use crate::house::House;

/// The proof.
pub struct GuardAccount {
    pub id: String,
}

impl FromRequest for GuardAccount {
    type Error = Denied;
    type Future = Ready<Result<Self, Denied>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(prove(request))
    }
}

fn prove(request: &HttpRequest) -> Result<GuardAccount, Denied> {
    let refused = |refusal| Denied::Refused(At::Feed, refusal);
    let house = request.app_data::<web::Data<House>>();
    if let Some(((id, secret), house)) = read_basic(request).zip(house)
        && house.authority.guard_may_follow(&id, &secret, &visit::origin(request)).map_err(refused)?
    {
        return Ok(GuardAccount { id });
    }
    Err(refused(Refusal::new(Code::InvalidClient, "Send a guard's id and secret by HTTP Basic.")))
}

fn read_basic(request: &HttpRequest) -> Option<(String, Secret)> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    Some((id.to_owned(), Secret::from(secret)))
}
