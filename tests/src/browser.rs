//! A person with a browser: keeps cookies, reads the page, fills in the form that is there, and notices
//! where it is sent.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use url::Url;

use crate::client::Client;
use crate::street::{self, Answer};

/// What the applications of a town use; its challenge is made of it as RFC 7636 section 4.2 says.
pub const VERIFIER: &str = "a-verifier-that-only-the-application-knows-0123456789";

/// A browser with nobody signed in yet.
pub struct Browser {
    http: reqwest::Client,
    issuer: String,
}

impl Browser {
    pub fn new(issuer: &str) -> Self {
        Self { http: street::browser(), issuer: issuer.to_owned() }
    }

    /// Opens a path of the server.
    pub async fn open(&self, path: &str) -> Answer {
        Answer::to(self.http.get(format!("{}{path}", self.issuer))).await
    }

    /// Follows an application's link with the usual parameters.
    pub async fn authorize(&self, client: &Client, redirect: &str, more: &[(&str, &str)]) -> Answer {
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", client.id),
            ("redirect_uri", redirect),
            ("state", "state-of-the-test"),
        ];
        let challenge = challenge_of(VERIFIER);
        query.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        // A parameter that the test names stands in the place of the usual one; an empty one takes it away.
        query.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        query.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        self.open(&format!("/oauth/authorize?{}", encode(&query))).await
    }

    /// Signs in on the page that is open.
    pub async fn sign_in(&self, page: &Answer, username: &str, password: &str) -> Answer {
        let form = [("form", form_of(page)), ("username", username.into()), ("password", password.into())];
        self.post("/oauth/authorize/sign-in", &form).await
    }

    /// Shows a code on the page that asks for one.
    pub async fn show_code(&self, page: &Answer, code: &str) -> Answer {
        let form = [("form", form_of(page)), ("code", code.into())];
        self.post("/oauth/authorize/second-factor", &form).await
    }

    /// Enrols or removes a second factor on the page of one's own account.
    pub async fn look_after_account(&self, page: &Answer, code: &str, password: &str) -> Answer {
        let form = [("form", form_of(page)), ("code", code.into()), ("password", password.into())];
        self.post("/oauth/account", &form).await
    }

    /// Chooses a password on the page that asks for one of one's own.
    pub async fn choose_password(&self, page: &Answer, new: &str) -> Answer {
        let form = [("form", form_of(page)), ("new_password", new.into())];
        self.post("/oauth/authorize/password", &form).await
    }

    /// Changes the password on the page of one's own account, where that form is the second.
    pub async fn change_password(&self, page: &Answer, present: &str, code: &str, new: &str) -> Answer {
        let (before, _) = page.body.split_once("id=\"present_password\"").expect("the page has the form");
        let (_, rest) = before.rsplit_once("name=\"form\" value=\"").expect("a form is sealed");
        let sealed = rest.split('"').next().expect("the value ends").to_owned();
        let typed = [("password", present), ("code", code), ("new_password", new)];
        let mut form = vec![("form", sealed)];
        form.extend(typed.map(|(name, value)| (name, value.to_owned())));
        self.post("/oauth/account", &form).await
    }

    /// Answers the question on the page that is open: `allow`, `deny` or `switch`.
    pub async fn decide(&self, page: &Answer, decision: &str) -> Answer {
        let form = [("form", form_of(page)), ("decision", decision.into())];
        self.post("/oauth/authorize/consent", &form).await
    }

    /// Posts a form of the person's own making.
    pub async fn post(&self, path: &str, form: &[(&str, String)]) -> Answer {
        Answer::to(self.http.post(format!("{}{path}", self.issuer)).form(form)).await
    }

    /// Goes the whole way and comes back to the application with a code.
    pub async fn code(&self, client: &Client, redirect: &str, more: &[(&str, &str)]) -> String {
        let page = self.authorize(client, redirect, more).await.with_status(200);
        let mut seen = self.sign_in(&page, "ringo@example.com", "hush-ringo").await.with_status(303);
        if seen.header("location").starts_with('/') {
            let question = self.open(seen.header("location")).await.with_status(200);
            seen = self.decide(&question, "allow").await.with_status(303);
        }
        sent_back(&seen).get("code").expect("a code").clone()
    }
}

/// The S256 challenge of a verifier.
pub fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// The parameters that an application gets with a redirect.
pub fn sent_back(answer: &Answer) -> std::collections::BTreeMap<String, String> {
    let to = Url::parse(answer.header("location")).expect("an absolute address");
    to.query_pairs().into_owned().collect()
}

/// The sealed value in the page's form.
pub fn form_of(page: &Answer) -> String {
    let (_, rest) = page.body.split_once("name=\"form\" value=\"").expect("the page has a form");
    rest.split_once('"').expect("the value ends").0.to_owned()
}

/// A query or form body.
pub fn encode(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
