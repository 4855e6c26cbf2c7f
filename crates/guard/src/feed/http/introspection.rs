//! Asks the issuer about a token over HTTP (RFC 7662), as the guard account that also follows the feed. The
//! answer is believed because of where it comes from, like the feed's keys, so the way there must be TLS.

use std::{io, time::Duration};

use serde::Deserialize;

use super::{HttpConfig, source::HttpSource};
use crate::introspection::{Introspection, Unanswered, Word};

/// The issuer's `/oauth/introspect`, for [`crate::Builder::introspection`].
pub struct HttpIntrospection(HttpSource);

/// As much of an answer as matters here.
#[derive(Deserialize)]
struct Answer {
    active: bool,
    #[serde(default)]
    jti: String,
    #[serde(default)]
    exp: u64,
}

impl HttpIntrospection {
    /// Asks where the feed is followed, with the same account.
    ///
    /// # Errors
    /// Certificates that cannot be read.
    pub fn new(config: &HttpConfig) -> io::Result<Self> {
        HttpSource::new(config, "").map(Self)
    }
}

impl Introspection for HttpIntrospection {
    fn ask(&self, token: &str, within: Duration) -> Result<Word, Unanswered> {
        let answer = self.0.introspect(token, within).map_err(|_| Unanswered)?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| Unanswered)?;
        let Answer { active, jti, exp } = answer;
        Ok(if active { Word::Active { jti, exp } } else { Word::Inactive })
    }
}
