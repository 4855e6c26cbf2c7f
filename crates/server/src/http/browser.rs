//! The browser behind a request: its cookies, and what the pages do with them.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use portcullis_authority::ask::{Ask, Origin};
use portcullis_authority::desk::Desk;
use portcullis_authority::refusal::{Not, Refusal, Trouble};
use portcullis_authority::{Authority, Consent, SignedIn, Visitor};

use super::cookie::Jar;
use super::form::{self, BrowserKey, Step};
use super::heard::Posted;
use super::reply::Denied;
use super::{page, visit};
use crate::house::House;

pub struct Browser<'a> {
    pub house: &'a House,
    pub origin: Origin,
    /// The cookie of a session, live or not.
    pub session: Option<String>,
    secure: bool,
    /// As the browser sent it.
    form_cookie: Option<String>,
    key: BrowserKey,
}

/// Answers what a page of ours posted. A refusal is a page too, because a person reads it.
pub async fn answer(
    house: &House,
    request: &HttpRequest,
    posted: Result<Posted, Denied>,
    work: impl AsyncFnOnce(&Browser<'_>, &Ask) -> Result<HttpResponse, Not>,
) -> HttpResponse {
    let browser = Browser::of(house, request);
    let done = match posted {
        Ok(Posted(ask)) => work(&browser, &ask).await,
        Err(denied) => return page::denied(denied, &browser.origin),
    };
    done.unwrap_or_else(|not| page::not_done(&not, &browser.origin))
}

impl<'a> Browser<'a> {
    pub fn of(house: &'a House, request: &HttpRequest) -> Self {
        let secure = visit::over_tls(house);
        let form_cookie = Jar::Form.read(request, secure);
        Self {
            house,
            origin: Origin { device: Jar::Device.read(request, secure), ..visit::origin(request) },
            session: Jar::Session.read(request, secure),
            secure,
            key: BrowserKey::of(form_cookie.clone(), house.authority.desk()),
            form_cookie,
        }
    }

    pub fn authority(&self) -> &'a Authority {
        &self.house.authority
    }

    pub fn desk(&self) -> &'a Desk {
        self.house.authority.desk()
    }

    /// Who has signed in here and may use the application.
    pub async fn visitor(&self, consent: &Consent) -> Result<Option<Visitor>, Trouble> {
        match &self.session {
            Some(cookie) => self.authority().signed_in(consent, cookie).await,
            None => Ok(None),
        }
    }

    /// Seals what a form carries to the next page.
    pub fn seal(&self, step: Step) -> String {
        form::seal(self.desk(), &self.key, step)
    }

    /// Opens what a form carried.
    ///
    /// # Errors
    /// `invalid_request` unless this browser was shown the form, not long ago.
    pub fn open(&self, form: Option<&str>) -> Result<Step, Refusal> {
        form::open(self.desk(), self.form_cookie.as_deref(), form)
    }

    /// Shows a page with a form, and leaves the cookie that the form needs.
    pub fn show(&self, page: &impl Template, consent: &Consent) -> HttpResponse {
        let mut answer = page::show(page, Some(&consent.redirect_uri));
        self.leave(&mut answer, Jar::Form, self.key.as_str());
        answer
    }

    /// Shows a page with a form that leads nowhere else.
    pub fn show_own(&self, page: &impl Template) -> HttpResponse {
        let mut answer = page::show(page, None);
        self.leave(&mut answer, Jar::Form, self.key.as_str());
        answer
    }

    /// Leaves a cookie.
    pub fn leave(&self, answer: &mut HttpResponse, jar: Jar, value: &str) {
        // Only a cookie that is no header value fails, and ours are base64url.
        let _ = answer.add_cookie(&jar.bake(value, self.secure));
    }

    /// Leaves the cookies of somebody who has just come in.
    pub fn keep(&self, answer: &mut HttpResponse, signed: &SignedIn) {
        self.leave(answer, Jar::Session, signed.cookie.expose());
        self.leave(answer, Jar::Device, &signed.device);
    }

    /// Takes a cookie back.
    pub fn take(&self, answer: &mut HttpResponse, jar: Jar) {
        let _ = answer.add_cookie(&jar.empty(self.secure));
    }
}
