//! Says in the log that the shop has no touch with its feed, and what to look at: from the street all that is seen is
//! 503, and a wrong secret looks the same as a server that is not there.

use std::time::{Duration, Instant};

use crate::settings::Settings;

/// How long the shop waits for the feed before it says something: a server that starts beside it needs a moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the shop is in touch, and whether that was said.
pub struct Touch {
    lost: String,
    since: Option<Instant>,
    is_said: bool,
}

impl Touch {
    /// Not in touch yet.
    pub fn new(settings: &Settings, now: Instant) -> Self {
        let Settings { issuer, feed_url, feed, guard_id, .. } = settings;
        let lost = format!(
            "the feed {feed} was not heard of for {} seconds, so every token is answered 503. Does the server answer at \
             {}, is its issuer {issuer} to the letter, is {feed} its feed, and has it a guard {guard_id} with this secret?",
            PATIENCE.as_secs(),
            feed_url.as_ref().unwrap_or(issuer),
        );
        Self { lost, since: Some(now), is_said: false }
    }

    /// Looks again; what is to be said, if anything. Each change is said once.
    pub fn look(&mut self, is_ready: bool, now: Instant) -> Option<&str> {
        if is_ready {
            self.since = None;
            return std::mem::take(&mut self.is_said).then_some("the feed is heard again.");
        }
        let since = *self.since.get_or_insert(now);
        if self.is_said || now.duration_since(since) < PATIENCE {
            return None;
        }
        self.is_said = true;
        Some(&self.lost)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn what_to_look_at_is_said_once_and_the_end_of_it_too() {
        let settings =
            Settings::parse_from(["portcullis-shop", "--guard-secret", "hush", "--guard-id", "till"]);
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut touch = Touch::new(&settings, began);
        assert_eq!(touch.look(false, after(4)), None, "a server may take a moment");
        let said = touch.look(false, after(5)).map(str::to_owned).unwrap_or_default();
        assert!(said.contains(&settings.issuer) && said.contains("a guard till "), "{said}");
        assert!(!said.contains("hush"));
        assert_eq!(touch.look(false, after(60)), None);
        assert_eq!(touch.look(true, after(61)), Some("the feed is heard again."));
        assert_eq!(touch.look(true, after(62)), None);
        assert_eq!(touch.look(false, after(63)), None, "the patience begins anew");
        assert!(touch.look(false, after(68)).is_some());
    }
}
