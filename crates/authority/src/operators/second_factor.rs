//! The second factor: codes of a time step (RFC 6238) and recovery codes. Which steps and codes were taken
//! before, the ledger knows.

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

    /// The factor of an operator.
    ///
    /// # Errors
    /// Trouble when the seed was not sealed by this server for this operator.
    pub fn open(seal: &Seal, operator: &Operator) -> Result<Self, Trouble> {
        let seed = seal.open_seed(&operator.id, &operator.seed);
        let seed = seed.ok_or_else(|| Trouble::new("second factor", "a seed does not open"))?;
        Self::of(&seed, &operator.email)
    }

    /// For the account's row.
    pub fn sealed(&self, desk: &Desk, operator: &str) -> String {
        let mut nonce = [0; 12];
        desk.dice.fill(&mut nonce);
        desk.seal.seal_seed(nonce, operator, self.0.secret().as_bytes())
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

/// What a code that was typed takes, if it is right: of the authenticator, or a recovery code.
///
/// # Errors
/// Trouble when the seed does not open.
pub(super) fn taken(desk: &Desk, operator: &Operator, code: &str) -> Result<Option<Taken>, Trouble> {
    let plain: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    if plain.len() == 6 && plain.bytes().all(|b| b.is_ascii_digit()) {
        let step = SecondFactor::open(&desk.seal, operator)?.step(&plain, desk.now());
        return Ok(step.map(Taken::Step));
    }
    let hash = desk.seal.recovery_code(&operator.id, &Secret::from(plain.to_lowercase()));
    let known = operator.recovery.iter().any(|kept| same(kept, &hash));
    Ok(known.then_some(Taken::Recovery(hash)))
}

/// Ten codes that work once each, and their hashes to keep.
pub fn recovery_codes(desk: &Desk, operator: &str) -> (Vec<Secret>, Vec<String>) {
    let mut shown = Vec::with_capacity(CODES);
    let mut kept = Vec::with_capacity(CODES);
    for _ in 0..CODES {
        let plain = recovery_code(desk);
        kept.push(desk.seal.recovery_code(operator, &Secret::from(plain.as_str())));
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
