//! What to do when the guard has lost touch with its feed. Chosen per route; decides nothing itself
//! (`guard.rs`) and asks nobody (`introspection.rs`).

use std::str::FromStr;
use std::time::Duration;

/// What becomes of a good token while the guard does not know what has ended lately.
///
/// Whatever is chosen: a token that the feed is known to have ended is refused, and a guard that never
/// knew the whole feed accepts nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStale {
    /// Nobody gets in: 503, never 401. For refunds, personal details, administration, and whatever nobody
    /// has thought about yet.
    #[default]
    Deny,
    /// The issuer is asked about this one token and has so long to answer. Without an answer nobody gets
    /// in. Needs [`crate::Builder::introspection`].
    Introspect {
        /// How long the request may wait for the issuer.
        timeout: Duration,
    },
    /// What the guard knows is good enough while it is not older than this. For what would be public but
    /// for the terms of trade: a token may live on here for so long after it was revoked.
    AllowUpTo(Duration),
}

impl OnStale {
    /// The policies, as metrics call them.
    pub(crate) const NAMES: [&'static str; 3] = ["deny", "introspect", "allow_up_to"];

    /// Where the policy stands in [`OnStale::NAMES`].
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Deny => 0,
            Self::Introspect { .. } => 1,
            Self::AllowUpTo(_) => 2,
        }
    }
}

/// A text that names no [`OnStale`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write deny, introspect:300ms (how long the issuer may take) or allow-up-to:900s (how old)")]
pub struct NotAPolicy;

/// The form for settings: `deny`, `introspect:300ms`, `allow-up-to:900s`.
impl FromStr for OnStale {
    type Err = NotAPolicy;

    fn from_str(text: &str) -> Result<Self, NotAPolicy> {
        match text.split_once(':') {
            None if text == "deny" => Ok(Self::Deny),
            Some(("introspect", time)) => Ok(Self::Introspect { timeout: duration(time)? }),
            Some(("allow-up-to", time)) => Ok(Self::AllowUpTo(duration(time)?)),
            _ => Err(NotAPolicy),
        }
    }
}

/// Whole milliseconds or seconds, with their unit.
fn duration(text: &str) -> Result<Duration, NotAPolicy> {
    let (digits, unit): (_, fn(u64) -> Duration) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, Duration::from_millis),
        (None, Some(digits)) => (digits, Duration::from_secs),
        (None, None) => return Err(NotAPolicy),
    };
    digits.parse().map(unit).map_err(|_| NotAPolicy)
}

/// What a token's admission rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// The guard knew everything that had ended, to within its bound.
    Fresh,
    /// The guard was stale, and the issuer said that the token is active.
    Introspected,
    /// The guard was stale, and what it knew was this old; the route allows it.
    Old(Duration),
}

impl Footing {
    /// Whether the guard had lost touch when it decided. Worth a line in a service's log.
    pub fn is_stale(self) -> bool {
        self != Self::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_can_be_written_in_settings() {
        assert_eq!("deny".parse(), Ok(OnStale::Deny));
        let timeout = Duration::from_millis(300);
        assert_eq!("introspect:300ms".parse(), Ok(OnStale::Introspect { timeout }));
        assert_eq!("allow-up-to:900s".parse(), Ok(OnStale::AllowUpTo(Duration::from_secs(900))));
        for wrong in
            ["", "allow", "allow-up-to", "deny:1s", "introspect:1", "allow-up-to:s", "allow-up-to:-1s"]
        {
            assert_eq!(wrong.parse::<OnStale>(), Err(NotAPolicy), "{wrong}");
        }
    }

    #[test]
    fn nobody_who_says_nothing_is_let_in_on_old_news() {
        assert_eq!(OnStale::default(), OnStale::Deny);
    }
}
