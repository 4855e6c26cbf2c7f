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

    /// The operators' listener has another address now.
    pub fn move_to(&mut self, office: &str) {
        self.office = office.to_owned();
    }

    /// What the authenticator shows at this time.
    pub fn code(&self, now: u64) -> String {
        let (_, rest) = self.otpauth.split_once("secret=").expect("the address holds a seed");
        let seed = rest.split('&').next().unwrap_or_default();
        SecondFactor::of(&base32(seed), &self.email).expect("the seed is long enough").code(now)
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

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path)).await
    }
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
