//! `/oauth/account`: where people look after their own password and second factor. Whoever has signed in at one of
//! the applications may open it; every change takes the password once more, and most leave a new session here and
//! nothing of the old ones anywhere.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ask::Ask;
use portcullis_authority::authorize::{must_enrol, visitor};
use portcullis_authority::factors;
use portcullis_authority::own_password::{self, Change};
use portcullis_authority::refusal::{Code, Not, Refusal};
use portcullis_authority::registry::Person;
use portcullis_authority::secret::Secret;
use portcullis_authority::{Consent, Visitor};
use url::Url;

use super::browser::{self, Browser};
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
        page(&browser, &person, (None, None)).await
    };
    shown.await.unwrap_or_else(|not| page::not_done(&not, &browser.origin))
}

/// `POST`: changes the password, enrols or removes.
pub async fn answer(
    house: web::Data<House>,
    request: HttpRequest,
    posted: Result<Posted, Denied>,
) -> HttpResponse {
    browser::answer(&house, &request, posted, async |browser, ask| change(browser, ask).await).await
}

async fn change(browser: &Browser<'_>, ask: &Ask) -> Result<HttpResponse, Not> {
    browser.desk().limits.visit(browser.desk(), &browser.origin)?;
    let (shown, step) = match browser.open(ask.get("form"))? {
        Step::Password { person } => (person, None),
        Step::Account { person, enrolment, onward } => (person, Some((enrolment, onward))),
        _ => return Err(stale().into()),
    };
    let person = whose(browser).await?;
    if person.id != shown {
        return Err(stale().into());
    }
    let done = match &step {
        None => change_password(browser, ask, &person).await,
        Some((None, _)) => remove_factor(browser, ask, &person).await,
        Some((Some(enrolment), onward)) => enrol(browser, ask, &person, (enrolment, onward.as_deref())).await,
    };
    match done {
        Err(Not::Refused(refusal)) if refusal.code == Code::AccessDenied => {
            let onward = step.and_then(|(_, onward)| onward);
            page(browser, &person, (onward, Some(&refusal.sentence))).await
        }
        other => other,
    }
}

/// The page that comes before an application of an organization that asks for a second factor, for somebody who has
/// none yet.
///
/// # Errors
/// Trouble.
pub async fn first(
    browser: &Browser<'_>,
    consent: &Consent,
    visitor: &Visitor,
) -> Result<Option<HttpResponse>, Not> {
    if !must_enrol(browser.desk(), consent, visitor).await? {
        return Ok(None);
    }
    let sentence =
        format!("{} asks for a second factor. Enrol one here to go on.", consent.organization_name);
    let onward = Some(Box::new(consent.clone()));
    page(browser, &visitor.person, (onward, Some(&sentence))).await.map(Some)
}

async fn change_password(browser: &Browser<'_>, ask: &Ask, person: &Person) -> Result<HttpResponse, Not> {
    let wish =
        Change { present: typed(ask, "password"), code: typed(ask, "code"), new: typed(ask, "new_password") };
    let signed = own_password::change(browser.desk(), person, wish, &browser.origin).await?;
    let mut answer = browser.show_own(&ChangedPage { person: &person.email });
    browser.keep(&mut answer, &signed);
    Ok(answer)
}

async fn remove_factor(browser: &Browser<'_>, ask: &Ask, person: &Person) -> Result<HttpResponse, Not> {
    let proof = (typed(ask, "password"), &typed(ask, "code"));
    factors::remove(browser.desk(), person, proof, &browser.origin).await?;
    page(browser, person, (None, None)).await
}

async fn enrol(
    browser: &Browser<'_>,
    ask: &Ask,
    person: &Person,
    (enrolment, onward): (&str, Option<&Consent>),
) -> Result<HttpResponse, Not> {
    let code = typed(ask, "code");
    let proof = (typed(ask, "password"), enrolment, code.expose());
    let (codes, signed) = factors::enrol(browser.desk(), person, proof, &browser.origin).await?;
    let mut answer = recovery(browser, &codes, onward.map(|consent| (consent, person)));
    browser.keep(&mut answer, &signed);
    Ok(answer)
}

fn typed(ask: &Ask, name: &str) -> Secret {
    Secret::from(ask.get(name).unwrap_or_default())
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
async fn page(
    browser: &Browser<'_>,
    person: &Person,
    (onward, problem): (Option<Box<Consent>>, Option<&str>),
) -> Result<HttpResponse, Not> {
    let account = |enrolment| {
        let person = person.id.clone();
        browser.seal(Step::Account { person, enrolment, onward: onward.clone() })
    };
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

fn recovery(browser: &Browser<'_>, codes: &[Secret], onward: Option<(&Consent, &Person)>) -> HttpResponse {
    let codes: Vec<&str> = codes.iter().map(Secret::expose).collect();
    let onward = onward.map(|(consent, person)| {
        browser.seal(Step::Consent { consent: consent.clone(), person: person.id.clone() })
    });
    browser.show_own(&CodesPage { codes: &codes, onward: onward.as_deref() })
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
