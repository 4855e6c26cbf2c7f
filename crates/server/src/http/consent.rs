//! `/oauth/authorize/consent`: asks whether an application may act for the person, and hears the answer.
//! The page of its own (GET) is there so that a sign-in can end in a redirect and a reload posts nothing.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ask::Ask;
use portcullis_authority::refusal::{Code, Not, Refusal};
use portcullis_authority::{Consent, Visitor, scope};
use url::Url;

use super::browser::{self, Browser};
use super::cookie::Jar;
use super::form::{Step, stale};
use super::heard::Posted;
use super::page::{self, ConsentPage};
use super::reply::{self, Denied};
use super::{account, authorize, sign_in, visit};
use crate::house::House;

/// `GET`: the page, after signing in.
pub async fn ask(house: web::Data<House>, request: HttpRequest) -> HttpResponse {
    let browser = Browser::of(&house, &request);
    let shown = async {
        let query = Ask::from_query(request.query_string(), browser.origin.clone())?;
        let (consent, visitor) = standing(&browser, &request, query.get("form")).await?;
        let Some(visitor) = visitor else { return Ok(sign_in::page(&browser, consent, "", None)) };
        if let Some(enrolment) = account::first(&browser, &consent, &visitor).await? {
            return Ok(enrolment);
        }
        match consent.first_party {
            true => authorize::send_back(&browser, &consent, &visitor).await,
            false => Ok(page(&browser, consent, &visitor)),
        }
    };
    shown.await.unwrap_or_else(|not| page::not_done(&not, &browser.origin))
}

/// `POST`: the answer.
pub async fn answer(
    house: web::Data<House>,
    request: HttpRequest,
    posted: Result<Posted, Denied>,
) -> HttpResponse {
    browser::answer(&house, &request, posted, async |browser, ask| decide(browser, &request, ask).await).await
}

/// The page.
pub fn page(browser: &Browser<'_>, consent: Consent, visitor: &Visitor) -> HttpResponse {
    let form = browser.seal(step(consent.clone(), visitor));
    let page = ConsentPage {
        application: &consent.application_name,
        organization: &consent.organization_name,
        destination: &destination(&consent.redirect_uri),
        wishes: &wishes(&consent),
        person: &visitor.person.email,
        duration: &duration(lifetime(browser, &consent)),
        form: &form,
    };
    browser.show(&page, &consent)
}

/// Sends the browser to the page.
pub fn redirect(browser: &Browser<'_>, consent: Consent, visitor: &Visitor) -> HttpResponse {
    let form = browser.seal(step(consent, visitor));
    reply::see_other(&format!("/oauth/authorize/consent?form={form}"))
}

fn step(consent: Consent, visitor: &Visitor) -> Step {
    Step::Consent { consent, person: visitor.person.id.clone() }
}

async fn decide(browser: &Browser<'_>, request: &HttpRequest, ask: &Ask) -> Result<HttpResponse, Not> {
    let (consent, visitor) = standing(browser, request, ask.get("form")).await?;
    match (ask.get("decision"), visitor) {
        (Some("allow"), Some(visitor)) => authorize::send_back(browser, &consent, &visitor).await,
        (Some("deny"), visitor) => {
            authorize::send_away(browser, &consent, (Code::AccessDenied, visitor.as_ref())).await
        }
        (Some("switch"), _) => switch(browser, consent).await,
        (Some("allow"), None) => {
            Ok(sign_in::page(browser, consent, "", Some("Your session has ended. Please sign in again.")))
        }
        _ => Err(Refusal::new(Code::InvalidRequest, "The answer is neither yes nor no.").into()),
    }
}

/// What is asked, and the person who was asked, if still signed in: consent that one person was shown is
/// not given by another.
async fn standing(
    browser: &Browser<'_>,
    request: &HttpRequest,
    form: Option<&str>,
) -> Result<(Consent, Option<Visitor>), Not> {
    browser.desk().limits.visit(browser.desk(), &browser.origin)?;
    let Step::Consent { consent, person } = browser.open(form)? else { return Err(stale().into()) };
    visit::name(request, browser.desk(), Some(&consent.client_id));
    let visitor = browser.visitor(&consent).await?.filter(|visitor| visitor.person.id == person);
    Ok((consent, visitor))
}

/// Another account: this session ends first.
async fn switch(browser: &Browser<'_>, consent: Consent) -> Result<HttpResponse, Not> {
    if let Some(session) = &browser.session {
        browser.authority().sign_out(session, &browser.origin).await?;
    }
    let mut answer = sign_in::page(browser, consent, "", None);
    browser.take(&mut answer, Jar::Session);
    Ok(answer)
}

/// What a person can recognise of an address.
fn destination(address: &str) -> String {
    match Url::parse(address) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization(),
        Ok(url) => format!("an app on this device ({})", url.scheme()),
        Err(_) => address.to_owned(),
    }
}

/// The scope in words.
fn wishes(consent: &Consent) -> Vec<String> {
    let organization = &consent.organization_name;
    let narrowed = scope::parts(&consent.scope).any(|part| part.starts_with("can:"));
    let first = match narrowed {
        true => format!("To do in {organization} only what is listed here, as far as your role there allows"),
        false => format!("To do in {organization} what your role there allows"),
    };
    let mut wishes = vec![first];
    wishes.extend(scope::parts(&consent.scope).map(|part| {
        let mut words = part.splitn(3, ':');
        let kind = words.next().unwrap_or_default().replace('_', " ");
        match (words.next(), words.next()) {
            (Some(action), Some("*")) if kind == "can" => format!("To {action} everything"),
            (Some(action), Some(subject)) if kind == "can" => {
                format!("To {action} {}", subject.replace('_', " "))
            }
            (Some("all"), None) => format!("In every {kind}"),
            (Some(by), Some(name)) => format!("In the {kind} with the {by} {name}"),
            _ => part.to_owned(),
        }
    }));
    wishes
}

fn lifetime(browser: &Browser<'_>, consent: &Consent) -> u32 {
    let desk = browser.desk();
    let directory = desk.registry.directory();
    let own = directory.application(&consent.client_id).and_then(|application| application.refresh_lifetime);
    own.unwrap_or(desk.terms.refresh_lifetime)
}

fn duration(seconds: u32) -> String {
    let (count, unit) = match seconds {
        172_800.. => (seconds / 86_400, "days"),
        7200.. => (seconds / 3600, "hours"),
        _ => (seconds.div_ceil(60), "minutes"),
    };
    format!("For up to {count} {unit}; then it has to ask again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_reads_like_one() {
        assert_eq!(duration(14 * 86_400), "For up to 14 days; then it has to ask again");
        assert_eq!(duration(7200), "For up to 2 hours; then it has to ask again");
        assert_eq!(duration(600), "For up to 10 minutes; then it has to ask again");
    }

    #[test]
    fn a_destination_is_what_a_person_can_recognise() {
        assert_eq!(destination("https://shop.example/cb?x=1"), "https://shop.example");
        assert_eq!(destination("com.example.app:/cb"), "an app on this device (com.example.app)");
    }

    #[test]
    fn a_scope_is_said_in_words() {
        let consent: Consent = serde_json::from_value(serde_json::json!({
            "client_id": "app", "application_name": "App", "organization_name": "Shop",
            "redirect_uri": "https://app.example/cb", "redirect_named": true,
            "scope": "market:all,stock_location:code:north", "first_party": false,
            "must_sign_in": false, "must_not_ask": false,
        }))
        .unwrap();
        assert_eq!(
            wishes(&consent),
            [
                "To do in Shop what your role there allows",
                "In every market",
                "In the stock location with the code north",
            ]
        );
        let consent = Consent { scope: "market:all can:read:line_items can:show:*".into(), ..consent };
        assert_eq!(
            wishes(&consent),
            [
                "To do in Shop only what is listed here, as far as your role there allows",
                "In every market",
                "To read line items",
                "To show everything",
            ]
        );
    }
}
