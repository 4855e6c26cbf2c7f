//! A guard that has proved who it is, by HTTP Basic with its own id and secret.

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::LocalBoxFuture;
use portcullis_authority::refusal::{Code, Refusal, Trouble};
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
    type Future = LocalBoxFuture<'static, Result<Self, Denied>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { prove(&request).await })
    }
}

/// Whoever fails is written down: a guard that is locked out, and a stranger who tries.
async fn prove(request: &HttpRequest) -> Result<GuardAccount, Denied> {
    let Some(house) = request.app_data::<web::Data<House>>() else {
        return Err(Denied::Broken(Trouble::new("a guard's door", "there is no house behind it")));
    };
    let (shown, origin) = (read_basic(request), visit::origin(request));
    let id = shown.as_ref().map(|(id, _)| id.as_str());
    let proved = shown
        .as_ref()
        .map_or(Ok(false), |(id, secret)| house.authority.guard_may_follow(id, secret, &origin));
    let refusal = match (proved, id) {
        (Ok(true), Some(id)) => return Ok(GuardAccount { id: id.to_owned() }),
        (Ok(_), _) => Refusal::new(Code::InvalidClient, "Send a guard's id and secret by HTTP Basic."),
        (Err(refusal), _) => refusal,
    };
    house.authority.note_refused_guard(id, &refusal, &origin).await.map_err(Denied::Broken)?;
    Err(Denied::Refused(At::Feed, refusal))
}

fn read_basic(request: &HttpRequest) -> Option<(String, Secret)> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    Some((id.to_owned(), Secret::from(secret)))
}
