//! `/oauth/account`: where people look after their own password and second factor. Whoever has signed in at one of
//! the applications may open it; every change takes the password once more, and most leave a new session here and
//! nothing of the old ones anywhere.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ask::Ask;
use portcullis_authority::authorize::visitor;
use portcullis_authority::factors;
use portcullis_authority::own_password::{self, Change};
use portcullis_authority::refusal::{Code, Not, Refusal};
use portcullis_authority::registry::Person;
use portcullis_authority::secret::Secret;
use url::Url;

use super::browser::Browser;
use super::form::{Step, stale};
use super::heard::Posted;
use super::page::{self, AccountPage, ChangedPage, CodesPage, EnrolPage};
use super::reply::Denied;
use crate::house::House;

/// `GET`: what there is, and what can be done about it.
pub async fn ask(house: web::Data<House>, request: HttpRequest) -> HttpResponse {
    let browser = Browser::of(&house, &request);
    let shown = async {
        browser.desk().limits.visit(browser.desk(), &browser.origin)?;
        let person = whose(&browser).await?;
        page(&browser, &person, None).await
    };
    shown.await.unwrap_or_else(|not| page::not_done(&not, &browser.origin))
}

/// `POST`: changes the password, enrols or removes.
pub async fn answer(
    house: web::Data<House>,
    request: HttpRequest,
    posted: Result<Posted, Denied>,
) -> HttpResponse {
    let browser = Browser::of(&house, &request);
    let done = match posted {
        Ok(Posted(ask)) => change(&browser, &ask).await,
        Err(denied) => return page::denied(denied, &browser.origin),
    };
    done.unwrap_or_else(|not| page::not_done(&not, &browser.origin))
}

async fn change(browser: &Browser<'_>, ask: &Ask) -> Result<HttpResponse, Not> {
    browser.desk().limits.visit(browser.desk(), &browser.origin)?;
    let (shown, step) = match browser.open(ask.get("form"))? {
        Step::Password { person } => (person, None),
        Step::Account { person, enrolment } => (person, Some(enrolment)),
        _ => return Err(stale().into()),
    };
    let person = whose(browser).await?;
    if person.id != shown {
        return Err(stale().into());
    }
    let done = match step {
        None => change_password(browser, ask, &person).await,
        Some(enrolment) => change_factor(browser, ask, &person, enrolment.as_deref()).await,
    };
    match done {
        Err(Not::Refused(refusal)) if refusal.code == Code::AccessDenied => {
            page(browser, &person, Some(&refusal.sentence)).await
        }
        other => other,
    }
}

async fn change_password(browser: &Browser<'_>, ask: &Ask, person: &Person) -> Result<HttpResponse, Not> {
    let typed = |name| Secret::from(ask.get(name).unwrap_or_default());
    let wish = Change { present: typed("password"), code: typed("code"), new: typed("new_password") };
    let signed = own_password::change(browser.desk(), person, wish, &browser.origin).await?;
    let mut answer = browser.show_own(&ChangedPage { person: &person.email });
    browser.keep(&mut answer, &signed);
    Ok(answer)
}

async fn change_factor(
    browser: &Browser<'_>,
    ask: &Ask,
    person: &Person,
    enrolment: Option<&str>,
) -> Result<HttpResponse, Not> {
    let (desk, origin) = (browser.desk(), &browser.origin);
    let password = Secret::from(ask.get("password").unwrap_or_default());
    let code = Secret::from(ask.get("code").unwrap_or_default());
    match enrolment {
        Some(enrolment) => {
            let typed = (password, enrolment, code.expose());
            let (codes, signed) = factors::enrol(desk, person, typed, origin).await?;
            let mut answer = recovery(browser, &codes);
            browser.keep(&mut answer, &signed);
            Ok(answer)
        }
        None => {
            factors::remove(desk, person, (password, &code), origin).await?;
            page(browser, person, None).await
        }
    }
}

/// Who has signed in here.
async fn whose(browser: &Browser<'_>) -> Result<Person, Not> {
    let found = match &browser.session {
        Some(cookie) => visitor(browser.desk(), cookie).await?,
        None => None,
    };
    let sentence = "Nobody is signed in in this browser; sign in at one of your applications, then open this page again.";
    Ok(found.ok_or_else(|| Refusal::new(Code::AccessDenied, sentence))?.person)
}

/// The password to change. With a second factor: how to remove it. Without: a new one to enrol.
async fn page(browser: &Browser<'_>, person: &Person, problem: Option<&str>) -> Result<HttpResponse, Not> {
    let account = |enrolment| browser.seal(Step::Account { person: person.id.clone(), enrolment });
    let password_form = &browser.seal(Step::Password { person: person.id.clone() });
    if let Some(factor) = browser.desk().ledger.factor(&person.id).await? {
        let page = AccountPage {
            person: &person.email,
            codes_left: factor.recovery.len(),
            form: &account(None),
            password_form,
            has_factor: true,
            problem,
        };
        return Ok(browser.show_own(&page));
    }
    let offered = factors::offer(browser.desk(), person)?;
    let otpauth = offered.otpauth.expose();
    let page = EnrolPage {
        person: &person.email,
        otpauth,
        key: &key_of(otpauth),
        form: &account(Some(offered.enrolment.expose().to_owned())),
        password_form,
        has_factor: false,
        problem,
    };
    Ok(browser.show_own(&page))
}

fn recovery(browser: &Browser<'_>, codes: &[Secret]) -> HttpResponse {
    let codes: Vec<&str> = codes.iter().map(Secret::expose).collect();
    browser.show_own(&CodesPage { codes: &codes })
}

/// The seed in groups of four, for those who type it.
fn key_of(otpauth: &str) -> String {
    let url = Url::parse(otpauth).ok();
    let seed = url
        .and_then(|url| url.query_pairs().find(|(name, _)| name == "secret").map(|(_, it)| it.into_owned()));
    let letters: Vec<char> = seed.unwrap_or_default().chars().collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_typed_in_groups_of_four() {
        assert_eq!(key_of("otpauth://totp/P:a?secret=ABCDEFGHIJ&issuer=P"), "ABCD EFGH IJ");
        assert_eq!(key_of("nonsense"), "");
    }
}
