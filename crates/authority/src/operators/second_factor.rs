//! The second factor: codes of a time step (RFC 6238) and recovery codes. Which steps and codes were taken
//! before, the ledger knows.

use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Totp};
use url::Url;

use super::{Operator, Taken};
use crate::desk::Desk;
use crate::refusal::Trouble;
use crate::secret::{Seal, Secret, same};

/// What an authenticator application shows above the code.
const ISSUER: &str = "Portcullis";
/// RFC 4226 section 4 asks for 160 bits.
const SEED: usize = 20;
/// Recovery codes that are made at once.
const CODES: usize = 10;
/// Without the letters and digits that are mistaken for one another.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
const CODE_LENGTH: usize = 12;
/// How long somebody may take to put a new seed into an authenticator, seconds.
const PATIENCE: u64 = 15 * 60;

/// A seed, and what is made from it.
pub struct SecondFactor(Totp);

impl SecondFactor {
    /// A new seed for this account.
    ///
    /// # Errors
    /// Trouble for an address that no authenticator can show.
    pub fn new(desk: &Desk, email: &str) -> Result<Self, Trouble> {
        let mut seed = [0; SEED];
        desk.dice.fill(&mut seed);
        Self::of(&seed, email)
    }

    /// Of a seed that is known.
    ///
    /// # Errors
    /// Trouble for a seed that is too short.
    pub fn of(seed: &[u8], email: &str) -> Result<Self, Trouble> {
        let made = Builder::new()
            .with_secret(seed.to_vec())
            .with_issuer(Some(ISSUER))
            .with_account_name(email.replace(':', " "))
            .build();
        made.map(Self).map_err(|why| Trouble::new("second factor", why))
    }

    /// The factor that is kept of an account.
    ///
    /// # Errors
    /// Trouble when the seed was not sealed by this server for this account.
    pub(crate) fn open(seal: &Seal, kept: &Kept<'_>) -> Result<Self, Trouble> {
        let seed = seal.open_seed(kept.whose, kept.seed);
        let seed = seed.ok_or_else(|| Trouble::new("second factor", "a seed does not open"))?;
        Self::of(&seed, kept.email)
    }

    /// For the account's row.
    pub fn sealed(&self, desk: &Desk, whose: &str) -> String {
        let mut nonce = [0; 12];
        desk.dice.fill(&mut nonce);
        desk.seal.seal_seed(nonce, whose, self.0.secret().as_bytes())
    }

    /// What an authenticator application reads; shown once.
    ///
    /// # Errors
    /// Trouble for an account without an address.
    pub fn url(&self) -> Result<Secret, Trouble> {
        let text = self.0.to_url().map_err(|why| Trouble::new("second factor", why))?;
        let url = Url::parse(&text).map_err(|why| Trouble::new("second factor", why))?;
        Ok(Secret::from(String::from(url)))
    }

    /// The code of this time, seconds.
    pub fn code(&self, now: u64) -> String {
        self.0.generate(now).to_string()
    }

    /// The step whose code this is: of now, or of the one before or after, because clocks differ
    /// (RFC 6238 section 5.2).
    fn step(&self, code: &str, now: u64) -> Option<u64> {
        self.0.check(code, now)
    }
}

/// A second factor as it is kept of an account.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    /// Account id.
    pub whose: &'a str,
    pub email: &'a str,
    /// Sealed for the account.
    pub seed: &'a str,
    /// Keyed hashes of the recovery codes that are left.
    pub recovery: &'a [String],
}

impl<'a> From<&'a Operator> for Kept<'a> {
    fn from(operator: &'a Operator) -> Self {
        Self {
            whose: &operator.id,
            email: &operator.email,
            seed: &operator.seed,
            recovery: &operator.recovery,
        }
    }
}

/// What a code that was typed takes, if it is right: of the authenticator, or a recovery code.
///
/// # Errors
/// Trouble when the seed does not open.
pub(crate) fn taken(desk: &Desk, kept: Kept<'_>, code: &str) -> Result<Option<Taken>, Trouble> {
    let plain = plain(code);
    if is_step(&plain) {
        let step = SecondFactor::open(&desk.seal, &kept)?.step(&plain, desk.now());
        return Ok(step.map(Taken::Step));
    }
    let hash = desk.seal.recovery_code(kept.whose, &Secret::from(plain.to_lowercase()));
    let known = kept.recovery.iter().any(|left| same(left, &hash));
    Ok(known.then_some(Taken::Recovery(hash)))
}

/// A new seed on its way into an authenticator. It is kept nowhere but with whoever enrols, sealed: a seed that
/// nobody confirms leaves nothing behind.
pub(crate) struct Offer {
    /// For the authenticator; shown once.
    pub otpauth: Secret,
    /// To be sent back with the first code.
    pub enrolment: Secret,
}

/// What [`Offer::enrolment`] holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolment {
    enrolment_of: String,
    seed: String,
    until: u64,
}

/// A seed that an authenticator holds: it has shown a code of it.
pub(crate) struct Confirmed {
    /// Sealed for the account.
    pub seed: String,
    /// The step that is spent.
    pub step: u64,
}

/// Offers a new seed to an account.
///
/// # Errors
/// Trouble for an address that no authenticator can show.
pub(crate) fn offer(desk: &Desk, whose: &str, email: &str) -> Result<Offer, Trouble> {
    let factor = SecondFactor::new(desk, email)?;
    let enrolment = Enrolment {
        enrolment_of: whose.into(),
        seed: factor.sealed(desk, whose),
        until: desk.now() + PATIENCE,
    };
    let text = serde_json::to_string(&enrolment).map_err(|why| Trouble::new("second factor", why))?;
    let mut nonce = [0; 12];
    desk.dice.fill(&mut nonce);
    let enrolment = Secret::from(desk.seal.seal_form(nonce, &text));
    Ok(Offer { otpauth: factor.url()?, enrolment })
}

/// The seed of an offer to this account, if the code is one of it and not too late.
///
/// # Errors
/// Trouble when the seed does not open.
pub(crate) fn confirmed(
    desk: &Desk,
    whose: &str,
    enrolment: &str,
    code: &str,
) -> Result<Option<Confirmed>, Trouble> {
    let offered = desk.seal.open_form(enrolment).and_then(|text| serde_json::from_str(&text).ok());
    let fits = |it: &Enrolment| it.enrolment_of == whose && desk.now() < it.until;
    let Some(offered) = offered.filter(fits) else { return Ok(None) };
    let kept = Kept { whose, email: "", seed: &offered.seed, recovery: &[] };
    // Without a name: an authenticator has it already.
    let step = SecondFactor::open(&desk.seal, &kept)?.step(&plain(code), desk.now());
    Ok(step.map(|step| Confirmed { seed: offered.seed, step }))
}

/// A code as it is compared: people group digits as they like.
fn plain(code: &str) -> String {
    code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect()
}

fn is_step(plain: &str) -> bool {
    plain.len() == 6 && plain.bytes().all(|b| b.is_ascii_digit())
}

/// Ten codes that work once each, and their hashes to keep.
pub fn recovery_codes(desk: &Desk, whose: &str) -> (Vec<Secret>, Vec<String>) {
    let mut shown = Vec::with_capacity(CODES);
    let mut kept = Vec::with_capacity(CODES);
    for _ in 0..CODES {
        let plain = recovery_code(desk);
        kept.push(desk.seal.recovery_code(whose, &Secret::from(plain.as_str())));
        let (front, back) = plain.split_at(CODE_LENGTH / 2);
        shown.push(Secret::from(format!("{front}-{back}")));
    }
    (shown, kept)
}

/// 12 characters of 31: 59 bits, and every try costs the attacker a slow password check.
fn recovery_code(desk: &Desk) -> String {
    let mut code = String::with_capacity(CODE_LENGTH);
    while code.len() < CODE_LENGTH {
        // Bytes above the largest multiple are thrown again, so that no letter is likelier.
        let fair = desk.random().into_iter().map(usize::from).filter(|byte| *byte < 8 * ALPHABET.len());
        let missing = CODE_LENGTH - code.len();
        code.extend(fair.take(missing).map(|byte| char::from(ALPHABET[byte % ALPHABET.len()])));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1, cut to six digits.
        let factor = SecondFactor::of(b"12345678901234567890", "ann@example.com").unwrap();
        for (time, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(factor.code(time), code);
        }
    }

    #[test]
    fn a_code_counts_one_step_before_and_after_its_own_and_no_further() {
        let factor = SecondFactor::of(b"12345678901234567890", "ann@example.com").unwrap();
        let code = factor.code(3000);
        assert_eq!(factor.step(&code, 3000), Some(100));
        assert_eq!(factor.step(&code, 2970), Some(100));
        assert_eq!(factor.step(&code, 3059), Some(100));
        assert_eq!(factor.step(&code, 3060), None);
        assert_eq!(factor.step(&code, 2969), None);
    }

    #[test]
    fn an_authenticator_can_read_the_address() {
        let factor = SecondFactor::of(b"12345678901234567890", "ann@example.com").unwrap();
        let url = factor.url().unwrap();
        assert!(url.expose().starts_with("otpauth://totp/Portcullis:ann%40example.com?"), "{}", url.expose());
        assert!(url.expose().contains("issuer=Portcullis"));
    }
}
