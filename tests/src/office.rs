//! An operator at the operators' listener: an account that is made on the town's books, and calls with its
//! session.

use std::sync::Arc;

use portcullis::means::{Means, SystemDice};
use portcullis::staff;
use portcullis_authority::operators::{OperatorRole, SecondFactor};
use portcullis_authority::secret::Secret;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::street::{self, Answer};
use crate::town::Town;

const PASSWORD: &str = "hush-the-night-watch";

/// Somebody with one role, signed in.
pub struct Colleague {
    pub id: String,
    pub email: String,
    /// Of the session.
    pub token: String,
    pub password: String,
    /// Codes that work once each.
    pub recovery: Vec<String>,
    otpauth: String,
    office: String,
    http: reqwest::Client,
}

impl Colleague {
    /// Makes the account `<role>@town.test` and signs in.
    pub async fn join(town: &Town, role: OperatorRole) -> Self {
        let mut made = Self::make(town, &format!("{}@town.test", role.as_str()), &[role]).await;
        let entered = made.sign_in(&made.code(town.now())).await.with_status(201);
        made.token = entered.text("token");
        made
    }

    /// Makes an account, and does not sign in.
    pub async fn make(town: &Town, email: &str, roles: &[OperatorRole]) -> Self {
        let newcomer = staff::newcomer(email.to_owned(), roles.to_vec(), Secret::from(PASSWORD));
        let (settings, clock) = (town.settings.clone(), town.clock.clone());
        let enrolled = town
            .look(async move |store| {
                let means = Means { clock, dice: Arc::new(SystemDice::default()) };
                staff::create_in(&settings, &means, &store, newcomer).await
            })
            .await;
        let enrolled = enrolled.expect("the account is made");
        Self {
            id: enrolled.operator.id,
            email: enrolled.operator.email,
            token: String::new(),
            password: PASSWORD.into(),
            recovery: enrolled.recovery.iter().map(|code| code.expose().to_owned()).collect(),
            otpauth: enrolled.otpauth.expose().to_owned(),
            office: town.office(),
            http: street::passer_by(),
        }
    }

    /// Somebody who is to be one: nothing is known of them but their address.
    pub fn stranger(town: &Town, email: &str) -> Self {
        Self {
            id: String::new(),
            email: email.into(),
            token: String::new(),
            password: PASSWORD.into(),
            recovery: Vec::new(),
            otpauth: String::new(),
            office: town.office(),
            http: street::walker(),
        }
    }

    /// Accepts an invitation with the code that the new authenticator shows.
    pub async fn accept(&mut self, invitation: &str, now: u64) -> Answer {
        let opened = self.ask_at("/invitations/open", &json!({ "code": invitation })).await;
        if opened.status != 200 {
            return opened;
        }
        let before = std::mem::replace(&mut self.otpauth, opened.text("otpauth"));
        let sent = json!({
            "code": invitation,
            "password": self.password,
            "enrolment": opened.text("enrolment"),
            "first_code": self.code(now),
        });
        let accepted = self.ask_at("/invitations/accept", &sent).await;
        match accepted.status {
            201 => self.learn(&accepted),
            _ => self.otpauth = before,
        }
        accepted
    }

    /// Puts another authenticator in the place of this one; the present code is the one to show.
    pub async fn renew_factor(&mut self, code: &str, now: u64) -> Answer {
        let offer = self.post("/account/second-factor/offer", &json!({})).await.with_status(200);
        let before = std::mem::replace(&mut self.otpauth, offer.text("otpauth"));
        let sent = json!({
            "code": code, "enrolment": offer.text("enrolment"), "first_code": self.code(now),
        });
        let renewed = self.put("/account/second-factor", &sent).await;
        match renewed.status {
            200 => self.learn(&renewed),
            _ => self.otpauth = before,
        }
        renewed
    }

    /// A call by nobody.
    pub async fn ask_at(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.http.post(format!("{}/admin/v1{path}", self.office)).json(body)).await
    }

    fn learn(&mut self, answer: &Answer) {
        let answer = answer.json();
        if let Some(id) = answer["operator"].as_str() {
            self.id = id.to_owned();
        }
        let codes = answer["recovery_codes"].as_array().expect("codes are shown");
        self.recovery = codes.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }

    /// The operators' listener has another address now.
    pub fn move_to(&mut self, office: &str) {
        self.office = office.to_owned();
    }

    /// What the authenticator shows at this time.
    pub fn code(&self, now: u64) -> String {
        code_of(&self.otpauth, now)
    }

    pub async fn sign_in(&self, code: &str) -> Answer {
        let shown = json!({ "email": self.email, "password": self.password, "code": code });
        Answer::to(self.http.post(format!("{}/admin/v1/sessions", self.office)).json(&shown)).await
    }

    /// Any call, below `/admin/v1`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/admin/v1{path}", self.office)).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(body)).await
    }

    /// Proposes a privileged change.
    pub async fn propose(&self, kind: &str, what: Value) -> Answer {
        let wish = json!({ "kind": kind, "what": what, "reason": "INC-7: a drill" });
        self.post("/proposals", &wish).await
    }

    /// Approves what a colleague has proposed, as it was shown.
    pub async fn approve(&self, proposal: &Value) -> Answer {
        let path = format!("/proposals/{}/approve", proposal["id"].as_str().unwrap_or_default());
        self.post(&path, &json!({ "digest": proposal["digest"] })).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path)).await
    }
}

/// What an authenticator with this address shows at this time.
pub fn code_of(otpauth: &str, now: u64) -> String {
    let (_, rest) = otpauth.split_once("secret=").expect("the address holds a seed");
    let seed = rest.split('&').next().unwrap_or_default();
    SecondFactor::of(&base32(seed), "").expect("the seed is long enough").code(now)
}

/// RFC 4648 section 6, as authenticators write it.
fn base32(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0);
    for letter in text.bytes() {
        let value = alphabet.iter().position(|known| *known == letter).expect("it is base32");
        held = held << 5 | u32::try_from(value).expect("32 letters");
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).expect("a byte"));
        }
    }
    bytes
}
