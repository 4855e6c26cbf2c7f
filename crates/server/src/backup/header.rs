//! The first line of a backup, which anybody can read: what it is a copy of, and the key of the rest under
//! another key. It holds no secret, unless somebody asked for a backup that anybody can open.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::desk::Dice;
use portcullis_authority::refusal::Trouble;
use portcullis_store::Imprint;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::strongbox::Key;
use super::trouble;
use crate::keys::{Keks, Wrap};

/// The form of backups that this version writes and reads.
const FORM: u8 = 1;
/// What the key of a backup is called where it is sealed.
const NAME: &str = "the key of the backup";

/// The first line. It has no `Debug`, because it may hold a key.
#[derive(Serialize, Deserialize)]
pub struct Header {
    /// Comes first, so that whoever looks at the file sees what it is.
    portcullis_backup: u8,
    #[serde(flatten)]
    pub about: About,
    key: Kept,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The version that wrote it.
    pub version: String,
    /// RFC 3339.
    pub made_at: String,
    #[serde(flatten)]
    pub imprint: Imprint,
}

/// How the key of the rest is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kept {
    /// Under a key-encryption key, as `keys/envelope.rs` writes it.
    Sealed(String),
    /// For everybody.
    Plain(String),
}

/// Under which lock a backup is taken, or was.
#[derive(Debug)]
pub enum Under {
    /// The key-encryption key.
    Key(Keks),
    /// None: the key of the backup may stand in its first line.
    Nothing(Keks),
}

impl Under {
    pub fn keks(&self) -> &Keks {
        match self {
            Self::Key(keks) | Self::Nothing(keks) => keks,
        }
    }
}

impl Header {
    /// Makes a key for one backup, and the line that keeps it.
    ///
    /// # Errors
    /// Trouble when there is nothing to keep it under.
    pub fn make(
        (imprint, made_at): (&Imprint, &str),
        under: &Under,
        dice: &dyn Dice,
    ) -> Result<(Self, Key), Trouble> {
        let mut key: Key = Zeroizing::new([0; 32]);
        dice.fill(key.as_mut());
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(key.as_ref()));
        let kept = match under {
            Under::Nothing(_) => Kept::Plain(text.to_string()),
            // Without a key the envelope would hand the text on as it is.
            Under::Key(keks) if keks.id().is_none() => return Err(trouble(super::NO_KEY)),
            Under::Key(keks) => Kept::Sealed(keks.close(NAME, &text)?),
        };
        let header = Self {
            portcullis_backup: FORM,
            about: About {
                version: env!("CARGO_PKG_VERSION").into(),
                made_at: made_at.into(),
                imprint: imprint.clone(),
            },
            key: kept,
        };
        Ok((header, key))
    }

    /// The line, with its end.
    ///
    /// # Errors
    /// Trouble when it cannot be written as JSON.
    pub fn line(&self) -> Result<String, Trouble> {
        serde_json::to_string(self).map(|line| line + "\n").map_err(trouble)
    }

    /// Reads the line.
    ///
    /// # Errors
    /// Trouble in a sentence: it is no backup, or one of another form.
    pub fn read(line: &str) -> Result<Self, Trouble> {
        #[derive(Deserialize)]
        struct Form {
            portcullis_backup: u8,
        }
        let no = |_| trouble("it is no backup of ours: its first line is not the one that backups have");
        match serde_json::from_str(line).map_err(no)? {
            Form { portcullis_backup: FORM } => serde_json::from_str(line).map_err(no),
            Form { portcullis_backup: other } => {
                Err(trouble(format!("it is a backup of form {other}, and this version knows {FORM}")))
            }
        }
    }

    /// The key of the rest.
    ///
    /// # Errors
    /// Trouble in a sentence: there is no key for it, or another one.
    pub fn key(&self, keks: &Keks) -> Result<Key, Trouble> {
        let text = match &self.key {
            Kept::Plain(text) => Zeroizing::new(text.clone()),
            Kept::Sealed(envelope) => match keks.open(NAME, envelope)? {
                // Whoever forges a backup would like it to pass for a sealed one.
                (_, Wrap::Plain) => return Err(trouble("its key is not sealed, and it says that it is")),
                (text, _) => text,
            },
        };
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(trouble)?);
        let key = bytes.as_slice().try_into().map_err(|_| trouble("its key is not of 32 bytes"))?;
        Ok(Zeroizing::new(key))
    }

    /// Whether whoever has the file can read it, and anybody could have made it.
    pub fn is_plain(&self) -> bool {
        matches!(self.key, Kept::Plain(_))
    }
}
