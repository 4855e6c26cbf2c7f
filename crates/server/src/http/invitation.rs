//! `/oauth/invitation`: whoever was invited opens the link, chooses a password, and is in. Looking at the page spends
//! nothing, so a mail program that follows links does no harm.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ask::Ask;
use portcullis_authority::desk::Desk;
use portcullis_authority::invitations;
use portcullis_authority::refusal::{Code, Not};
use portcullis_authority::secret::Secret;

use super::browser::{self, Browser};
use super::cookie::Jar;
use super::form::{Step, stale};
use super::heard::Posted;
use super::page::{self, InvitationPage, JoinedPage};
use super::reply::Denied;
use crate::house::House;

/// What the invited is sent.
pub fn link(desk: &Desk, code: &Secret) -> String {
    // Codes are base64url, so they stand in a query as they are.
    format!("{}/oauth/invitation?code={}", desk.terms.issuer, code.expose())
}

/// `GET`: the page.
pub async fn ask(house: web::Data<House>, request: HttpRequest) -> HttpResponse {
    let browser = Browser::of(&house, &request);
    let shown = async {
        let query = Ask::from_query(request.query_string(), browser.origin.clone())?;
        page(&browser, query.get("code").unwrap_or_default(), None).await
    };
    shown.await.unwrap_or_else(|not| page::not_done(&not, &browser.origin))
}

/// `POST`: the password.
pub async fn answer(
    house: web::Data<House>,
    request: HttpRequest,
    posted: Result<Posted, Denied>,
) -> HttpResponse {
    browser::answer(&house, &request, posted, async |browser, ask| accept(browser, ask).await).await
}

async fn page(browser: &Browser<'_>, code: &str, problem: Option<&str>) -> Result<HttpResponse, Not> {
    let invited = invitations::open(browser.desk(), &Secret::from(code), &browser.origin).await?;
    let form = browser.seal(Step::Invitation { code: code.to_owned() });
    let organization = invited.organization.as_deref();
    Ok(browser.show_own(&InvitationPage { email: &invited.email, organization, form: &form, problem }))
}

async fn accept(browser: &Browser<'_>, ask: &Ask) -> Result<HttpResponse, Not> {
    let Step::Invitation { code } = browser.open(ask.get("form"))? else { return Err(stale().into()) };
    let password = Secret::from(ask.get("new_password").unwrap_or_default());
    let shown = Secret::from(code.as_str());
    match invitations::accept(browser.desk(), &shown, password, &browser.origin).await {
        Ok(cookie) => {
            // Somebody else may have been signed in here before; that session must not live on unseen.
            if let Some(before) = &browser.session {
                browser.authority().sign_out(before, &browser.origin).await?;
            }
            let mut answer = browser.show_own(&JoinedPage {});
            browser.leave(&mut answer, Jar::Session, cookie.expose());
            Ok(answer)
        }
        Err(Not::Refused(refusal)) if refusal.code == Code::AccessDenied => {
            page(browser, &code, Some(&refusal.sentence)).await
        }
        Err(not) => Err(not),
    }
}
