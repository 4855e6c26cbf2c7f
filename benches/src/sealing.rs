//! What a personal field costs that is sealed in the books: sealing, opening and marking it, beside AES-256-GCM of ring
//! alone with a key that is ready. The rest is a key of its own for each field of each row, chance, and base64.

use std::time::Duration;

use portcullis_store::SealedSample;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::Outcome;
use crate::micro::nanos;
use crate::table::{self, figure};

const KEY: [u8; 32] = [7; 32];
/// An address, a person, and a card with much on it.
const SIZES: [usize; 3] = [24, 256, 4096];

/// Measures each for about so long and prints the table.
pub fn run(each: Duration) -> Outcome<()> {
    let (sample, raw) = (SealedSample::under(&KEY), Raw::new()?);
    let mut rows = Vec::new();
    for size in SIZES {
        let text = "a".repeat(size);
        let (sealed, bytes) = (sample.seal(&text)?, raw.seal(text.as_bytes())?);
        if sample.open(sealed.clone())? != text || raw.open(&bytes)? != text.as_bytes() {
            return Err("what was sealed does not open".into());
        }
        let (seal, floor) = (nanos(each, || sample.seal(&text)), nanos(each, || raw.seal(text.as_bytes())));
        rows.push(row("sealing", size, floor, seal));
        let open = nanos(each, || sample.open(sealed.clone()));
        rows.push(row("opening", size, nanos(each, || raw.open(&bytes)), open));
    }
    let mark = nanos(each, || sample.mark("somebody@shop.example"));
    rows.push(vec!["a mark".into(), "-".into(), "-".into(), figure(mark / 1e3), "-".into()]);
    table::print("Sealed fields, µs", &["what", "bytes", "ring, raw", "the books", "ratio"], &rows);
    Ok(())
}

fn row(what: &str, size: usize, raw: f64, ours: f64) -> Vec<String> {
    vec![what.into(), size.to_string(), figure(raw / 1e3), figure(ours / 1e3), figure(ours / raw)]
}

/// The cipher alone.
struct Raw(LessSafeKey);

impl Raw {
    fn new() -> Outcome<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &KEY).map_err(|_| "AES-256 takes 32 bytes")?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// The same nonce each time, which only a bench may do.
    fn nonce() -> Nonce {
        Nonce::assume_unique_for_key([0; NONCE_LEN])
    }

    fn seal(&self, text: &[u8]) -> Outcome<Vec<u8>> {
        let mut bytes = text.to_vec();
        let done = self.0.seal_in_place_append_tag(Self::nonce(), Aad::empty(), &mut bytes);
        done.map_err(|_| "the text is too long")?;
        Ok(bytes)
    }

    fn open(&self, sealed: &[u8]) -> Outcome<Vec<u8>> {
        let mut bytes = sealed.to_vec();
        let opened = self.0.open_in_place(Self::nonce(), Aad::empty(), &mut bytes);
        Ok(opened.map_err(|_| "it does not open")?.to_vec())
    }
}
