//! A person with a browser.

use portcullis_authority::ask::Ask;
use portcullis_authority::refusal::{Not, Refusal};
use portcullis_authority::secret::Secret;
use portcullis_authority::{Consent, Entered, SignedIn, TokenReply, Turned, Visitor};
use url::Url;

use super::{House, origin, refusal_of};

/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Somebody who came in by the password alone.
pub fn inside(answer: Result<Entered, Not>) -> Result<SignedIn, Refusal> {
    refusal_of(answer).map(|entered| match entered {
        Entered::In(signed_in) => *signed_in,
        Entered::Half(half) => panic!("{half:?} has a second factor"),
        Entered::Given(half) => panic!("{half:?} has a password that an operator has set"),
    })
}

impl House {
    /// `GET /oauth/authorize`; `response_type` and the challenge are there unless the test says otherwise,
    /// and a value of `-` leaves a parameter out.
    pub fn consider(&self, params: &[(&str, &str)]) -> Result<Consent, Turned> {
        let usual = [
            ("response_type", "code"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "s t&"),
        ];
        let told = |name: &str| params.iter().any(|(known, _)| *known == name);
        let all = usual.into_iter().filter(|(name, _)| !told(name)).chain(params.iter().copied());
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(all.filter(|(_, value)| *value != "-"))
            .finish();
        self.authority.consider(&Ask::from_query(&query, origin()).unwrap())
    }

    /// Signs in with the usual password.
    pub async fn sign_in(&self, consent: &Consent, email: &str) -> Result<Visitor, Refusal> {
        let password = format!("{}s-password", email.split('@').next().unwrap());
        self.remember(&password);
        let answer = self.authority.sign_in(consent, email, Secret::from(password), &origin()).await;
        inside(answer).map(|signed_in| {
            self.remember(signed_in.cookie.expose());
            signed_in.visitor
        })
    }

    /// Ada agrees: the code.
    pub async fn code(&self, params: &[(&str, &str)]) -> String {
        let consent = self.consider(params).unwrap();
        let ada = self.sign_in(&consent, "ada@staff.example").await.unwrap();
        let to = refusal_of(self.authority.approve(&consent, &ada, &origin()).await).unwrap();
        let code = in_query(&to, "code").unwrap();
        self.remember(&code);
        code
    }

    /// Redeems a code of the web application.
    pub async fn redeem(&self, code: &str) -> Result<TokenReply, Refusal> {
        let form = [("grant_type", "authorization_code"), ("code", code), ("code_verifier", VERIFIER)];
        self.by("web", &form).await
    }

    /// Ada signs in to the web application.
    pub async fn ada(&self) -> TokenReply {
        let code = self.code(&[("client_id", "web")]).await;
        self.redeem(&code).await.unwrap()
    }
}

pub fn in_query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}
