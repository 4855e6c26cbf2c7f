//! The pages: what a person sees. No script, nothing from elsewhere, one style sheet that the policy names
//! by its hash. Whatever people and applications call themselves is escaped by the templates.

use std::sync::LazyLock;

use actix_web::{HttpResponse, ResponseError as _};
use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_authority::ask::Origin;
use portcullis_authority::refusal::{Limited, Not, Refusal, Trouble};
use ring::digest;
use url::{Host, Url};

use super::reply::{self, Denied};

/// The whole style sheet; the layout puts it into every page.
pub const STYLE: &str = include_str!("../../templates/style.css");

/// Asks for a name and a password.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage<'a> {
    pub application: &'a str,
    pub organization: &'a str,
    /// Sealed; see `form.rs`.
    pub form: &'a str,
    /// What was typed before.
    pub username: &'a str,
    /// Why it did not work before.
    pub problem: Option<&'a str>,
}

/// Asks for a code after the password.
#[derive(Template)]
#[template(path = "second_factor.html")]
pub struct SecondFactorPage<'a> {
    pub application: &'a str,
    pub organization: &'a str,
    /// Sealed; see `form.rs`.
    pub form: &'a str,
    /// Why it did not work before.
    pub problem: Option<&'a str>,
}

/// Asks for a password that nobody else knows.
#[derive(Template)]
#[template(path = "choose_password.html")]
pub struct ChoosePasswordPage<'a> {
    pub application: &'a str,
    pub organization: &'a str,
    /// Sealed; see `form.rs`.
    pub form: &'a str,
    /// Why it did not work before.
    pub problem: Option<&'a str>,
}

/// Asks somebody who was invited for a password.
#[derive(Template)]
#[template(path = "invitation.html")]
pub struct InvitationPage<'a> {
    pub email: &'a str,
    /// Where a place comes with it.
    pub organization: Option<&'a str>,
    /// Sealed; see `form.rs`.
    pub form: &'a str,
    /// Why it did not work before.
    pub problem: Option<&'a str>,
}

/// Says that the account is there.
#[derive(Template)]
#[template(path = "joined.html")]
pub struct JoinedPage {}

/// Offers a second factor.
#[derive(Template)]
#[template(path = "enrol.html")]
pub struct EnrolPage<'a> {
    pub person: &'a str,
    /// What an authenticator reads.
    pub otpauth: &'a str,
    /// The same for those who type it.
    pub key: &'a str,
    pub form: &'a str,
    /// Of the form that changes the password, which asks for a code where there is a factor.
    pub password_form: &'a str,
    pub has_factor: bool,
    pub problem: Option<&'a str>,
}

/// Says that the password is another one.
#[derive(Template)]
#[template(path = "changed.html")]
pub struct ChangedPage<'a> {
    pub person: &'a str,
}

/// Shows recovery codes, this once.
#[derive(Template)]
#[template(path = "codes.html")]
pub struct CodesPage<'a> {
    pub codes: &'a [&'a str],
    /// The form of the step that waits for this one.
    pub onward: Option<&'a str>,
}

/// Says that there is a second factor, and takes it away.
#[derive(Template)]
#[template(path = "account.html")]
pub struct AccountPage<'a> {
    pub person: &'a str,
    pub codes_left: usize,
    pub form: &'a str,
    /// As in [`EnrolPage`].
    pub password_form: &'a str,
    pub has_factor: bool,
    pub problem: Option<&'a str>,
}

/// Asks whether an application may act for the person.
#[derive(Template)]
#[template(path = "consent.html")]
pub struct ConsentPage<'a> {
    pub application: &'a str,
    pub organization: &'a str,
    /// Where the browser goes afterwards, so that a person can notice a stranger.
    pub destination: &'a str,
    pub wishes: &'a [String],
    pub person: &'a str,
    pub duration: &'a str,
    pub form: &'a str,
}

/// Says what this server is.
#[derive(Template)]
#[template(path = "front.html")]
pub struct FrontPage<'a> {
    pub issuer: &'a str,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    heading: &'a str,
    sentence: &'a str,
    advice: &'a str,
    code: &'a str,
    request_id: &'a str,
}

/// Shows a page. `onward` is the address that its form leads to in the end: browsers hold redirects after
/// a form to the same policy as the form itself.
pub fn show(page: &impl Template, onward: Option<&str>) -> HttpResponse {
    match page.render() {
        Ok(html) => reply::page(html, &policy(onward)),
        Err(wrong) => broken(&Trouble::new("page", wrong), &Origin::default()),
    }
}

/// Asks a person to come back later.
fn limited(refusal: &Refusal, limited: &Limited, origin: &Origin) -> HttpResponse {
    let page = ProblemPage {
        heading: "Not so fast",
        sentence: &refusal.sentence,
        advice: "Wait a while, then load the page again. If it was not you who tried so often, the account is safe: nobody has come in.",
        code: refusal.code.as_str(),
        request_id: origin.request_id.as_deref().unwrap_or_default(),
    };
    let html = page.render().unwrap_or_else(|_| refusal.code.as_str().to_owned());
    reply::limited_page(html, &policy(None), limited)
}

/// Says no to a person. Never a redirect: nothing in a refused request can be trusted to lead anywhere.
pub fn refused(refusal: &Refusal, origin: &Origin) -> HttpResponse {
    if let Some(which) = &refusal.limited {
        return limited(refusal, which, origin);
    }
    let page = ProblemPage {
        heading: "This did not work",
        sentence: &refusal.sentence,
        advice: "Go back to the application that you came from and start again. If it happens once more, tell the people who run that application what stands below.",
        code: refusal.code.as_str(),
        request_id: origin.request_id.as_deref().unwrap_or_default(),
    };
    reply::refused_page(page.render().unwrap_or_else(|_| refusal.code.as_str().to_owned()), &policy(None))
}

/// Says that something of ours does not work.
pub fn broken(trouble: &Trouble, origin: &Origin) -> HttpResponse {
    tracing::error!(what = trouble.what, why = %trouble.why, "a part of the server does not work");
    let page = ProblemPage {
        heading: "Not available at the moment",
        sentence: "Something on our side does not work. Nothing was done with what you sent.",
        advice: "Wait a few seconds and load the page again.",
        code: "temporarily_unavailable",
        request_id: origin.request_id.as_deref().unwrap_or_default(),
    };
    reply::broken_page(page.render().unwrap_or_else(|_| "temporarily unavailable".to_owned()), &policy(None))
}

/// Not done, as a person is told.
pub fn not_done(not: &Not, origin: &Origin) -> HttpResponse {
    match not {
        Not::Refused(refusal) => refused(refusal, origin),
        Not::Broken(trouble) => broken(trouble, origin),
    }
}

/// A form that was not even read, as a person is told.
pub fn denied(denied: Denied, origin: &Origin) -> HttpResponse {
    match denied {
        Denied::Refused(_, refusal) => refused(&refusal, origin),
        other => other.error_response(),
    }
}

/// Nothing but our own style, and forms only to us and onward.
fn policy(onward: Option<&str>) -> String {
    static STYLE_HASH: LazyLock<String> =
        LazyLock::new(|| STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes())));
    let onward = onward.and_then(source_of).map(|source| format!(" {source}")).unwrap_or_default();
    format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self'{onward}; frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH
    )
}

/// A redirect address as a source of CSP level 3 section 2.3.1, which knows neither IPv6 addresses nor
/// the hosts of private schemes: there the scheme alone has to do.
fn source_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(Host::Domain(_) | Host::Ipv4(_))) => Some(url.origin().ascii_serialization()),
        (scheme, _) => Some(format!("{scheme}:")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\"><script>alert(1)</script>' onfocus='x";

    fn every_page() -> Vec<String> {
        let wishes = vec![HOSTILE.to_owned()];
        let sign_in = SignInPage {
            application: HOSTILE,
            organization: HOSTILE,
            form: HOSTILE,
            username: HOSTILE,
            problem: Some(HOSTILE),
        };
        let consent = ConsentPage {
            application: HOSTILE,
            organization: HOSTILE,
            destination: HOSTILE,
            wishes: &wishes,
            person: HOSTILE,
            duration: HOSTILE,
            form: HOSTILE,
        };
        let problem = ProblemPage {
            heading: HOSTILE,
            sentence: HOSTILE,
            advice: HOSTILE,
            code: HOSTILE,
            request_id: HOSTILE,
        };
        let front = FrontPage { issuer: HOSTILE };
        let second = SecondFactorPage {
            application: HOSTILE,
            organization: HOSTILE,
            form: HOSTILE,
            problem: Some(HOSTILE),
        };
        let choose = ChoosePasswordPage {
            application: HOSTILE,
            organization: HOSTILE,
            form: HOSTILE,
            problem: Some(HOSTILE),
        };
        let enrol = EnrolPage {
            person: HOSTILE,
            otpauth: HOSTILE,
            key: HOSTILE,
            form: HOSTILE,
            password_form: HOSTILE,
            has_factor: false,
            problem: Some(HOSTILE),
        };
        let codes = CodesPage { codes: &[HOSTILE], onward: Some(HOSTILE) };
        let account = AccountPage {
            person: HOSTILE,
            codes_left: 3,
            form: HOSTILE,
            password_form: HOSTILE,
            has_factor: true,
            problem: Some(HOSTILE),
        };
        let invitation = InvitationPage {
            email: HOSTILE,
            organization: Some(HOSTILE),
            form: HOSTILE,
            problem: Some(HOSTILE),
        };
        let changed = ChangedPage { person: HOSTILE };
        vec![
            sign_in.render().unwrap(),
            consent.render().unwrap(),
            problem.render().unwrap(),
            front.render().unwrap(),
            second.render().unwrap(),
            choose.render().unwrap(),
            enrol.render().unwrap(),
            codes.render().unwrap(),
            account.render().unwrap(),
            changed.render().unwrap(),
            invitation.render().unwrap(),
        ]
    }

    #[test]
    fn no_page_holds_a_script_or_anything_from_elsewhere() {
        for html in every_page() {
            let html = html.to_ascii_lowercase();
            for forbidden in
                ["<script", "javascript:", " src=", "<link", "@import", "url(", "http://", "style="]
            {
                assert!(!html.contains(forbidden), "{forbidden} in {html}");
            }
        }
    }

    #[test]
    fn a_hostile_name_stays_text() {
        for html in every_page() {
            assert!(!html.contains("\"><script>"), "{html}");
            assert!(html.contains("&#60;script&#62;"), "{html}");
            assert!(!html.contains("' onfocus='"), "{html}");
        }
    }

    #[test]
    fn the_style_in_the_page_is_the_one_that_the_policy_names() {
        for html in every_page() {
            let (_, rest) = html.split_once("<style>").unwrap();
            assert_eq!(rest.split_once("</style>").unwrap().0, STYLE);
        }
    }

    #[test]
    fn forms_have_steady_names_and_labels() {
        let html = &every_page()[0];
        for part in [
            "name=\"username\"",
            "name=\"password\"",
            "for=\"username\"",
            "for=\"password\"",
            "autocomplete=\"username\"",
            "autocomplete=\"current-password\"",
            "lang=\"en\"",
            "role=\"alert\"",
        ] {
            assert!(html.contains(part), "{part}");
        }
    }

    #[test]
    fn a_form_leads_to_us_and_to_the_registered_redirect_only() {
        let to = |address| policy(Some(address));
        assert!(policy(None).contains("form-action 'self'; frame-ancestors 'none'"));
        assert!(to("https://shop.example/cb?a=1").contains("form-action 'self' https://shop.example;"));
        assert!(to("http://127.0.0.1:49152/cb").contains("form-action 'self' http://127.0.0.1:49152;"));
        assert!(to("http://[::1]:49152/cb").contains("form-action 'self' http:;"));
        assert!(to("com.example.app:/cb").contains("form-action 'self' com.example.app:;"));
        assert!(to("https://shop.example/;script-src").contains("form-action 'self' https://shop.example;"));
    }
}
