//! `POST /oauth/authorize/sign-in`: a name and a password from our own page.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ask::Ask;
use portcullis_authority::refusal::{Code, Not};
use portcullis_authority::secret::Secret;
use portcullis_authority::{Consent, Entered, SignedIn};

use super::browser::{self, Browser};
use super::form::{Step, stale};
use super::heard::Posted;
use super::page::SignInPage;
use super::reply::Denied;
use super::{account, authorize, consent, own_password, second_factor, visit};
use crate::house::House;

pub async fn answer(
    house: web::Data<House>,
    request: HttpRequest,
    posted: Result<Posted, Denied>,
) -> HttpResponse {
    browser::answer(&house, &request, posted, async |browser, ask| try_sign_in(browser, &request, ask).await)
        .await
}

/// The page. It is shown with 200 also after a wrong password: a 401 would owe the browser a challenge
/// (RFC 9110 section 15.5.2), and a form is none.
pub fn page(browser: &Browser<'_>, consent: Consent, username: &str, problem: Option<&str>) -> HttpResponse {
    let form = browser.seal(Step::SignIn(consent.clone()));
    let page = SignInPage {
        application: &consent.application_name,
        organization: &consent.organization_name,
        form: &form,
        username,
        problem,
    };
    browser.show(&page, &consent)
}

async fn try_sign_in(browser: &Browser<'_>, request: &HttpRequest, ask: &Ask) -> Result<HttpResponse, Not> {
    let Step::SignIn(consent) = browser.open(ask.get("form"))? else { return Err(stale().into()) };
    visit::name(request, browser.desk(), Some(&consent.client_id));
    let username = ask.get("username").unwrap_or_default();
    let password = Secret::from(ask.get("password").unwrap_or_default());
    let signed = match browser.authority().sign_in(&consent, username, password, &browser.origin).await {
        Ok(Entered::In(signed)) => *signed,
        Ok(Entered::Half(half)) => return Ok(second_factor::page(browser, consent, half, None)),
        Ok(Entered::Given(half)) => return Ok(own_password::page(browser, consent, half, None)),
        Err(Not::Refused(refusal)) if refusal.code == Code::AccessDenied => {
            return Ok(page(browser, consent, username, Some(&refusal.sentence)));
        }
        Err(not) => return Err(not),
    };
    finish(browser, consent, &signed).await
}

/// Onward, with a fresh session.
pub async fn finish(browser: &Browser<'_>, consent: Consent, signed: &SignedIn) -> Result<HttpResponse, Not> {
    // Signing in always makes a new session; the one before must not live on unseen.
    if let Some(before) = &browser.session {
        browser.authority().sign_out(before, &browser.origin).await?;
    }
    let mut answer = if let Some(enrolment) = account::first(browser, &consent, &signed.visitor).await? {
        enrolment
    } else if consent.first_party {
        authorize::send_back(browser, &consent, &signed.visitor).await?
    } else {
        consent::redirect(browser, consent, &signed.visitor)
    };
    browser.keep(&mut answer, signed);
    Ok(answer)
}
