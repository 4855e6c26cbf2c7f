//! What a page's form carries to the next one: sealed, for ten minutes, and only for the browser that it
//! was shown in. The same random value lies in the form and in a cookie; another site can have neither
//! sent (RFC 9700 section 4.7).

use portcullis_authority::desk::Desk;
use portcullis_authority::refusal::{Code, Refusal};
use portcullis_authority::secret::same;
use portcullis_authority::{Consent, Half};
use serde::{Deserialize, Serialize};

/// Long enough to find a password, short enough that a forgotten page is harmless.
const LIFETIME: u64 = 600;
/// 256 bits in base64url.
const KEY_LENGTH: usize = 43;

/// The value in the cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserKey(String);

impl BrowserKey {
    /// The browser's key, or a new one. Kept while the browser has it, so that two open pages both work.
    pub fn of(cookie: Option<String>, desk: &Desk) -> Self {
        let fits = |key: &String| key.len() == KEY_LENGTH && key.bytes().all(is_base64url);
        Self(cookie.filter(fits).unwrap_or_else(|| desk.token()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a person stands between two pages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Was asked for a password.
    SignIn(Consent),
    /// Was asked for a code, after the password.
    SecondFactor { consent: Consent, half: Half },
    /// Was asked to choose a password, after everything else.
    ChoosePassword { consent: Consent, half: Half },
    /// Was invited, by this code.
    Invitation { code: String },
    /// Looks after the own password.
    Password { person: String },
    /// Looks after the own second factor; where a second factor was offered, with it.
    /// Of an organization that asks for one, with where to go on to.
    Account { person: String, enrolment: Option<String>, onward: Option<Box<Consent>> },
    /// Was asked for consent, as this person.
    Consent { consent: Consent, person: String },
}

/// Seals what a form carries.
pub fn seal(desk: &Desk, key: &BrowserKey, step: Step) -> String {
    let sealed = Sealed { key: key.0.clone(), until: desk.now() + LIFETIME, step };
    // A form that cannot be written cannot be opened either, and says so when it is posted.
    let text = serde_json::to_string(&sealed).unwrap_or_default();
    let mut nonce = [0; 12];
    desk.dice.fill(&mut nonce);
    desk.seal.seal_form(nonce, &text)
}

/// Opens a form that this browser was shown, in time.
///
/// # Errors
/// `invalid_request` for anything else.
pub fn open(desk: &Desk, cookie: Option<&str>, form: Option<&str>) -> Result<Step, Refusal> {
    let opened = form.and_then(|form| {
        let sealed: Sealed = serde_json::from_str(&desk.seal.open_form(form)?).ok()?;
        (same(&sealed.key, cookie?) && desk.now() < sealed.until).then_some(sealed.step)
    });
    opened.ok_or_else(stale)
}

/// The form is not one that can be answered now.
pub fn stale() -> Refusal {
    Refusal::new(
        Code::InvalidRequest,
        "The page was open for too long, or this browser does not keep cookies from this address.",
    )
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    key: String,
    /// Seconds.
    until: u64,
    step: Step,
}

fn is_base64url(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'-' || c == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::house_at;

    const NOW: u64 = 1_800_000_000;

    fn step() -> Step {
        let consent = serde_json::from_value(serde_json::json!({
            "client_id": "app", "application_name": "App", "organization_name": "Shop",
            "redirect_uri": "https://app.example/cb", "redirect_named": true, "scope": "market:all",
            "first_party": false, "must_sign_in": false, "must_not_ask": false,
        }));
        Step::SignIn(consent.unwrap())
    }

    #[test]
    fn a_form_opens_in_the_browser_that_was_shown_it() {
        let (house, _) = house_at(NOW);
        let desk = house.authority.desk();
        let key = BrowserKey::of(None, desk);
        let form = seal(desk, &key, step());
        assert_eq!(open(desk, Some(key.as_str()), Some(&form)), Ok(step()));
    }

    #[test]
    fn another_browser_cannot_post_it() {
        let (house, _) = house_at(NOW);
        let desk = house.authority.desk();
        let (key, other) = (BrowserKey::of(None, desk), BrowserKey::of(None, desk));
        let form = seal(desk, &key, step());
        assert_eq!(open(desk, Some(other.as_str()), Some(&form)), Err(stale()));
        assert_eq!(open(desk, None, Some(&form)), Err(stale()));
        assert_eq!(open(desk, Some(""), Some(&form)), Err(stale()));
    }

    #[test]
    fn a_form_nobody_sealed_is_refused() {
        let (house, _) = house_at(NOW);
        let desk = house.authority.desk();
        let key = BrowserKey::of(None, desk);
        let form = seal(desk, &key, step());
        assert_eq!(open(desk, Some(key.as_str()), None), Err(stale()));
        assert_eq!(open(desk, Some(key.as_str()), Some(&form[1..])), Err(stale()));
    }

    #[test]
    fn a_form_is_good_for_ten_minutes() {
        let (house, clock) = house_at(NOW);
        let desk = house.authority.desk();
        let key = BrowserKey::of(None, desk);
        let form = seal(desk, &key, step());
        clock.advance(599);
        assert!(open(desk, Some(key.as_str()), Some(&form)).is_ok());
        clock.advance(1);
        assert_eq!(open(desk, Some(key.as_str()), Some(&form)), Err(stale()));
    }

    #[test]
    fn a_browser_keeps_its_key_unless_it_is_no_key() {
        let (house, _) = house_at(NOW);
        let desk = house.authority.desk();
        let key = BrowserKey::of(None, desk);
        assert_eq!(BrowserKey::of(Some(key.as_str().to_owned()), desk), key);
        for odd in ["", "short", &"=".repeat(43)] {
            assert_ne!(BrowserKey::of(Some(odd.to_owned()), desk).as_str(), odd);
        }
    }
}
