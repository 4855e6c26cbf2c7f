//! `GET /oauth/authorize` (RFC 6749 section 4.1.1): straight back, a sign-in page, a consent page, or a
//! page that says why not. A request is sent back only to an address that the authority has proved.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ask::Ask;
use portcullis_authority::refusal::{Code, Not};
use portcullis_authority::{Consent, Turned, Visitor};

use super::browser::Browser;
use super::{account, consent, page, reply, sign_in, visit};
use crate::house::House;

pub async fn answer(house: web::Data<House>, request: HttpRequest) -> HttpResponse {
    let browser = Browser::of(&house, &request);
    begin(&browser, &request).await.unwrap_or_else(|not| page::not_done(&not, &browser.origin))
}

async fn begin(browser: &Browser<'_>, request: &HttpRequest) -> Result<HttpResponse, Not> {
    let ask = Ask::from_query(request.query_string(), browser.origin.clone())?;
    visit::name(request, browser.desk(), ask.get("client_id"));
    browser.desk().limits.visit(browser.desk(), &browser.origin)?;
    let consent = match browser.authority().consider(&ask) {
        Ok(consent) => consent,
        Err(Turned::Page(refusal)) => return Err(refusal.into()),
        Err(Turned::Redirect(to)) => return Ok(reply::see_other(to.as_str())),
    };
    match browser.visitor(&consent).await? {
        Some(visitor) if !consent.must_sign_in => go_on(browser, consent, &visitor).await,
        _ if consent.must_not_ask => send_away(browser, &consent, (Code::LoginRequired, None)).await,
        _ => Ok(sign_in::page(browser, consent, "", None)),
    }
}

/// Somebody is signed in: back to the application, or first a question.
async fn go_on(browser: &Browser<'_>, consent: Consent, visitor: &Visitor) -> Result<HttpResponse, Not> {
    if let Some(enrolment) = account::first(browser, &consent, visitor).await? {
        return match consent.must_not_ask {
            true => send_away(browser, &consent, (Code::LoginRequired, Some(visitor))).await,
            false => Ok(enrolment),
        };
    }
    if consent.first_party {
        send_back(browser, &consent, visitor).await
    } else if consent.must_not_ask {
        send_away(browser, &consent, (Code::ConsentRequired, Some(visitor))).await
    } else {
        Ok(consent::page(browser, consent, visitor))
    }
}

/// Back to the application with a code.
pub async fn send_back(
    browser: &Browser<'_>,
    consent: &Consent,
    visitor: &Visitor,
) -> Result<HttpResponse, Not> {
    let to = browser.authority().approve(consent, visitor, &browser.origin).await?;
    Ok(reply::see_other(to.as_str()))
}

/// Back to the application with an error.
pub async fn send_away(
    browser: &Browser<'_>,
    consent: &Consent,
    why: (Code, Option<&Visitor>),
) -> Result<HttpResponse, Not> {
    let to = browser.authority().decline(consent, why, &browser.origin).await?;
    Ok(reply::see_other(to.as_str()))
}
