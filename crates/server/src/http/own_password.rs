//! `POST /oauth/authorize/password`: a password of one's own, in the place of one that an operator has set.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ask::Ask;
use portcullis_authority::refusal::{Code, Not};
use portcullis_authority::secret::Secret;
use portcullis_authority::{Consent, Half};

use super::browser::{self, Browser};
use super::form::{Step, stale};
use super::heard::Posted;
use super::page::ChoosePasswordPage;
use super::reply::Denied;
use super::{sign_in, visit};
use crate::house::House;

pub async fn answer(
    house: web::Data<House>,
    request: HttpRequest,
    posted: Result<Posted, Denied>,
) -> HttpResponse {
    browser::answer(&house, &request, posted, async |browser, ask| choose(browser, &request, ask).await).await
}

/// The page. Its form is shown only to a browser that has shown everything else that the account asks for.
pub fn page(browser: &Browser<'_>, consent: Consent, half: Half, problem: Option<&str>) -> HttpResponse {
    let form = browser.seal(Step::ChoosePassword { consent: consent.clone(), half });
    let page = ChoosePasswordPage {
        application: &consent.application_name,
        organization: &consent.organization_name,
        form: &form,
        problem,
    };
    browser.show(&page, &consent)
}

async fn choose(browser: &Browser<'_>, request: &HttpRequest, ask: &Ask) -> Result<HttpResponse, Not> {
    let Step::ChoosePassword { consent, half } = browser.open(ask.get("form"))? else {
        return Err(stale().into());
    };
    visit::name(request, browser.desk(), Some(&consent.client_id));
    let password = Secret::from(ask.get("new_password").unwrap_or_default());
    match browser.authority().choose_password(&consent, &half, password, &browser.origin).await {
        Ok(signed) => sign_in::finish(browser, consent, &signed).await,
        Err(Not::Refused(refusal)) if refusal.code == Code::AccessDenied => {
            Ok(page(browser, consent, half, Some(&refusal.sentence)))
        }
        Err(not) => Err(not),
    }
}
