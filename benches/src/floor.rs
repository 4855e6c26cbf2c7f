//! The floor: the least that an issuer must do for client credentials. It reads the same form, proves the
//! client with one keyed hash, signs the same claims with ring and answers in JSON. No registry, no audit,
//! no log, no rules.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_guard::Claims;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::{Deserialize, Serialize};

use crate::{Outcome, roles};

/// The environment variable with the claims to sign, as JSON.
pub const CLAIMS: &str = "BENCH_CLAIMS";
/// The environment variable with the secret of the one client.
pub const SECRET: &str = "BENCH_SECRET";

/// The bare handler as a server.
pub fn serve() -> Outcome<Server> {
    let floor = web::Data::new(Floor::open()?);
    let app = move || App::new().app_data(floor.clone()).route("/oauth/token", web::post().to(issue));
    Ok(HttpServer::new(app).listen(roles::listener()?)?.run())
}

struct Floor {
    claims: Claims,
    key: EcdsaKeyPair,
    dice: SystemRandom,
    header: String,
    seal: hmac::Key,
    proof: hmac::Tag,
}

#[derive(Deserialize)]
struct Form {
    grant_type: String,
    client_secret: String,
}

#[derive(Serialize)]
struct Reply<'a> {
    access_token: String,
    token_type: &'a str,
    expires_in: u64,
    scope: &'a str,
    created_at: u64,
}

impl Floor {
    fn open() -> Outcome<Self> {
        let dice = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let unspecified = |_| "ring made no key";
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &dice).map_err(unspecified)?;
        let seal = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        Ok(Self {
            claims: serde_json::from_str(&std::env::var(CLAIMS)?)?,
            key: EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &dice)?,
            header: URL_SAFE_NO_PAD
                .encode(r#"{"alg":"ES256","typ":"at+jwt","kid":"eu1.0123456789012345678901"}"#),
            proof: hmac::sign(&seal, std::env::var(SECRET)?.as_bytes()),
            seal,
            dice,
        })
    }

    fn token(&self, now: u64) -> Outcome<String> {
        let mut id = [0; 16];
        self.dice.fill(&mut id).map_err(|_| "no randomness")?;
        let jti = URL_SAFE_NO_PAD.encode(id);
        let claims = Claims { iat: now, exp: now + 7200, jti, ..self.claims.clone() };
        let claims = serde_json::to_vec(&claims)?;
        let mut token = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 100);
        token.push_str(&self.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.key.sign(&self.dice, token.as_bytes()).map_err(|_| "ring did not sign")?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

async fn issue(floor: web::Data<Floor>, form: web::Form<Form>) -> HttpResponse {
    let proved = hmac::verify(&floor.seal, form.client_secret.as_bytes(), floor.proof.as_ref()).is_ok();
    if !proved || form.grant_type != "client_credentials" {
        return HttpResponse::Unauthorized().finish();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match floor.token(now) {
        Ok(access_token) => HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(Reply {
            access_token,
            token_type: "bearer",
            expires_in: 7200,
            scope: &floor.claims.scope,
            created_at: now,
        }),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
