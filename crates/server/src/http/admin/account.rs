//! `/account`: what operators change of their own account. Each change takes the present second factor.

use portcullis_authority::operators::{Offered, Proof};
use portcullis_authority::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Visit;
use super::route::{ANYBODY, Answer, Method, Reply, Route, json, shape};

pub const ROUTES: &[Route] = &[
    Route::new(
        Method::Put,
        "/account/password",
        ANYBODY,
        "Changes your own password and ends your other sessions.",
        |visit| Box::pin(change_password(visit)),
    )
    .takes(shape::<NewPassword>),
    Route::new(
        Method::Post,
        "/account/second-factor/offer",
        ANYBODY,
        "Offers you a new second factor; nothing changes until it is confirmed.",
        |visit| Box::pin(offer(visit)),
    )
    .answers(shape::<Offer>),
    Route::new(
        Method::Put,
        "/account/second-factor",
        ANYBODY,
        "Puts the offered second factor in the place of yours and ends your other sessions.",
        |visit| Box::pin(renew_factor(visit)),
    )
    .takes(shape::<NewFactor>)
    .answers(shape::<Recovery>),
    Route::new(
        Method::Post,
        "/account/recovery-codes",
        ANYBODY,
        "Makes new recovery codes for you; the old ones end.",
        |visit| Box::pin(renew_recovery(visit)),
    )
    .takes(shape::<Present>)
    .answers(shape::<Recovery>),
];

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "OwnPassword")]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// The present one.
    password: String,
    /// Six digits of the authenticator, or a recovery code.
    code: String,
    new_password: String,
}

/// A second factor on its way into an authenticator.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SecondFactorOffer")]
pub(super) struct Offer {
    /// For an authenticator; shown this once.
    otpauth: String,
    /// To be sent back with the first code, within 15 minutes.
    enrolment: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "OwnSecondFactor")]
#[serde(deny_unknown_fields)]
struct NewFactor {
    /// Of the present second factor, or a recovery code.
    code: String,
    enrolment: String,
    /// The first code of the new authenticator.
    first_code: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PresentSecondFactor")]
#[serde(deny_unknown_fields)]
struct Present {
    /// Six digits of the authenticator, or a recovery code.
    code: String,
}

/// Codes that work once each, shown this once.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RecoveryCodes")]
struct Recovery {
    recovery_codes: Vec<String>,
}

impl From<Offered> for Offer {
    fn from(offered: Offered) -> Self {
        Self {
            otpauth: offered.otpauth.expose().to_owned(),
            enrolment: offered.enrolment.expose().to_owned(),
        }
    }
}

async fn change_password(visit: Visit) -> Answer {
    let sent: NewPassword = visit.body()?;
    let proof = Proof { password: Some(Secret::from(sent.password)), code: Secret::from(sent.code) };
    let (porter, record) = (visit.lodge.porter(), visit.record(""));
    porter.change_own_password(&visit.standing, proof, Secret::from(sent.new_password), record).await?;
    Ok(Reply::Nothing)
}

async fn offer(visit: Visit) -> Answer {
    json(&Offer::from(visit.lodge.porter().offer_factor(&visit.standing)?))
}

async fn renew_factor(visit: Visit) -> Answer {
    let sent: NewFactor = visit.body()?;
    let proof = Proof { password: None, code: Secret::from(sent.code) };
    let (enrolment, first) = (Secret::from(sent.enrolment), Secret::from(sent.first_code));
    let (porter, record) = (visit.lodge.porter(), visit.record(""));
    let codes = porter.renew_own_factor(&visit.standing, proof, (&enrolment, &first), record).await?;
    json(&shown(&codes))
}

async fn renew_recovery(visit: Visit) -> Answer {
    let sent: Present = visit.body()?;
    let proof = Proof { password: None, code: Secret::from(sent.code) };
    let codes = visit.lodge.porter().renew_own_recovery(&visit.standing, proof, visit.record("")).await?;
    json(&shown(&codes))
}

fn shown(codes: &[Secret]) -> Recovery {
    Recovery { recovery_codes: codes.iter().map(|code| code.expose().to_owned()).collect() }
}
