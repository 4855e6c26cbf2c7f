//! `POST /oauth/authorize/second-factor`: the code that is asked for after the password.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ask::Ask;
use portcullis_authority::refusal::{Code, Not};
use portcullis_authority::secret::Secret;
use portcullis_authority::{Consent, Entered, Half};

use super::browser::{self, Browser};
use super::form::{Step, stale};
use super::heard::Posted;
use super::page::SecondFactorPage;
use super::reply::Denied;
use super::{own_password, sign_in, visit};
use crate::house::House;

pub async fn answer(
    house: web::Data<House>,
    request: HttpRequest,
    posted: Result<Posted, Denied>,
) -> HttpResponse {
    browser::answer(&house, &request, posted, async |browser, ask| try_code(browser, &request, ask).await)
        .await
}

/// The page. As at the sign-in page, a wrong code is no 401.
pub fn page(browser: &Browser<'_>, consent: Consent, half: Half, problem: Option<&str>) -> HttpResponse {
    let form = browser.seal(Step::SecondFactor { consent: consent.clone(), half });
    let page = SecondFactorPage {
        application: &consent.application_name,
        organization: &consent.organization_name,
        form: &form,
        problem,
    };
    browser.show(&page, &consent)
}

async fn try_code(browser: &Browser<'_>, request: &HttpRequest, ask: &Ask) -> Result<HttpResponse, Not> {
    let Step::SecondFactor { consent, half } = browser.open(ask.get("form"))? else {
        return Err(stale().into());
    };
    visit::name(request, browser.desk(), Some(&consent.client_id));
    let code = Secret::from(ask.get("code").unwrap_or_default());
    match browser.authority().sign_in_second(&consent, &half, &code, &browser.origin).await {
        Ok(Entered::In(signed)) => sign_in::finish(browser, consent, &signed).await,
        Ok(Entered::Given(half)) => Ok(own_password::page(browser, consent, half, None)),
        // Whoever has shown it is not asked again.
        Ok(Entered::Half(_)) => Err(stale().into()),
        Err(Not::Refused(refusal)) if refusal.code == Code::AccessDenied => {
            Ok(page(browser, consent, half, Some(&refusal.sentence)))
        }
        Err(not) => Err(not),
    }
}
