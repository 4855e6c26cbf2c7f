//! How long what stands in the books is kept, table by table: the one list that the purge, the report and the page
//! for people are made of. A table that is not in it fails a test.
//!
//! Which period a table has is decided here and in the settings; deleting is `purge.rs`, counting `holdings.rs`.

use crate::feed::AFTERLIFE;

/// A spent code is remembered so long after it is over, seconds: who shows it a second time, however late, has
/// stolen it or was robbed, and that closes the family (RFC 6749 section 4.1.2).
const SPENT: u64 = 3600;
/// A guard that has said nothing for so long is gone, seconds.
const SILENT: u64 = 3600;
const DAY: u64 = 86_400;

/// A table, and how long its rows are kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub table: &'static str,
    /// What a row is.
    pub what: &'static str,
    pub until: Until,
}

/// When a row goes.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// With something else, or never: says what and why.
    With(&'static str),
    /// So long after a moment.
    After(After),
}

/// So long after a moment.
#[derive(Clone, Copy, Debug)]
pub struct After {
    pub span: Span,
    /// The moment, in words.
    pub moment: &'static str,
    /// The moment in SQL, seconds.
    pub(crate) time: &'static str,
    /// Which rows have one, in SQL.
    pub(crate) of: &'static str,
    /// How its rows are deleted.
    pub(crate) by: By,
}

/// How long that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Seconds; a rule of the protocol, which nobody sets.
    Fixed(u64),
    /// Days that the settings say; 0 is for ever.
    Set(Setting),
}

/// A setting that is a number of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Audit,
    Logins,
    Proposals,
    Reviews,
    DeadLetters,
    SecretUses,
}

/// How rows that are over are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Row by row, each known by these columns.
    Key(&'static str),
    /// Beside the beats and announcements of the feed.
    Feed,
    /// Each with its lines, so that evidence is never there in part.
    Review,
    /// Behind a cut that the server signs (`audit/anchor.rs`).
    Cut,
}

/// What the settings say, in days; 0 is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    pub audit: u32,
    pub logins: u32,
    pub proposals: u32,
    pub reviews: u32,
    pub dead_letters: u32,
    pub secret_uses: u32,
}

impl Default for Periods {
    /// Thirteen months for what is looked at once a year, three years for the evidence of that, and three months for
    /// what only mending needs.
    fn default() -> Self {
        Self { audit: 396, logins: 90, proposals: 396, reviews: 1096, dead_letters: 90, secret_uses: 396 }
    }
}

impl Periods {
    fn days(&self, setting: Setting) -> u32 {
        match setting {
            Setting::Audit => self.audit,
            Setting::Logins => self.logins,
            Setting::Proposals => self.proposals,
            Setting::Reviews => self.reviews,
            Setting::DeadLetters => self.dead_letters,
            Setting::SecretUses => self.secret_uses,
        }
    }
}

impl Setting {
    /// As it stands in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit.retention_days",
            Self::Logins => "retention.logins_days",
            Self::Proposals => "retention.proposals_days",
            Self::Reviews => "retention.reviews_days",
            Self::DeadLetters => "retention.dead_letters_days",
            Self::SecretUses => "retention.secret_uses_days",
        }
    }
}

impl Span {
    /// In seconds; nothing when it never ends.
    pub fn seconds(self, periods: &Periods) -> Option<u64> {
        match self {
            Self::Fixed(seconds) => Some(seconds),
            Self::Set(setting) => match periods.days(setting) {
                0 => None,
                days => Some(u64::from(days) * DAY),
            },
        }
    }
}

impl Kept {
    const fn with(table: &'static str, what: &'static str, why: &'static str) -> Self {
        Self { table, what, until: Until::With(why) }
    }

    const fn after(table: &'static str, what: &'static str, after: After) -> Self {
        Self { table, what, until: Until::After(after) }
    }
}

impl After {
    const fn fixed(seconds: u64, moment: &'static str, time: &'static str, key: &'static str) -> Self {
        Self { span: Span::Fixed(seconds), moment, time, of: "1 = 1", by: By::Key(key) }
    }

    const fn set(setting: Setting, moment: &'static str, time: &'static str, key: &'static str) -> Self {
        Self { span: Span::Set(setting), moment, time, of: "1 = 1", by: By::Key(key) }
    }

    const fn only(self, of: &'static str) -> Self {
        Self { of, ..self }
    }

    const fn gone_by(self, by: By) -> Self {
        Self { by, ..self }
    }
}

const REGISTRY: &str = "until it is deleted; nobody but whoever keeps the registry says when";
const ACCOUNT: &str = "as long as the account";
const ONE_ROW: &str = "one row; it grows only in its number";

/// Every table, with the time by which it is found where there is an index.
pub const KEPT: &[Kept] = &[
    Kept::with("organizations", "organizations", REGISTRY),
    Kept::with("applications", "applications and personal credentials", REGISTRY),
    Kept::with("roles", "roles", REGISTRY),
    Kept::with("fences", "markets, stock locations and price lists", REGISTRY),
    Kept::with("guards", "accounts of guards", REGISTRY),
    Kept::with("people", "accounts of people", REGISTRY),
    Kept::with(
        "memberships",
        "places in organizations",
        "until the place is given up, or the account is deleted",
    ),
    Kept::with("cards", "references, metadata and profiles", "as long as what they describe"),
    Kept::with("person_factors", "second factors of people", ACCOUNT),
    Kept::with("person_recovery", "recovery codes of people, hashed", ACCOUNT),
    Kept::with(
        "generations",
        "how often everything of somebody was ended",
        "for ever, by ids alone: what has ended must never come back",
    ),
    Kept::after(
        "codes",
        "authorization codes, hashed",
        After::fixed(SPENT, "their end", "expires_at", "hash"),
    ),
    Kept::after("sessions", "browser sessions of people", After::fixed(0, "their end", "expires_at", "hash")),
    Kept::after(
        "families",
        "logins at applications, with their refresh tokens, hashed",
        After::set(Setting::Logins, "their last possible refresh", "abs_exp", "id"),
    ),
    Kept::after(
        "assertions",
        "assertions that were used, by digest",
        After::fixed(AFTERLIFE, "their end", "exp", "client_id, digest"),
    ),
    Kept::after(
        "rv_log",
        "what has ended, for guards",
        After::fixed(AFTERLIFE, "the end of the last token that it could match", "exp", "seq")
            .only("kind NOT IN (0, 9, 10)")
            .gone_by(By::Feed),
    ),
    Kept::with("rv_feed", "the feed's counter", ONE_ROW),
    Kept::after(
        "guard_reports",
        "what guards said last",
        After::fixed(SILENT, "their last word", "at_ms / 1000", "feed, guard"),
    ),
    Kept::after(
        "audit",
        "the audit log, and with it where accounts were used from",
        After::set(Setting::Audit, "the event", "at", "seq").gone_by(By::Cut),
    ),
    Kept::with("audit_head", "the audit log's counter", ONE_ROW),
    Kept::with("audit_anchor", "where the audit log begins", ONE_ROW),
    Kept::with("audit_checkpoints", "signed checkpoints", "as long as the audit row that they vouch for"),
    Kept::with(
        "audit_destinations",
        "how far destinations have been told",
        "one row for each name ever used",
    ),
    Kept::after(
        "audit_dead_letters",
        "what a destination would not take",
        After::set(Setting::DeadLetters, "its last refusal", "at", "destination, first_seq"),
    ),
    Kept::with("operators", "operators", "for ever: what they did is told by their id"),
    Kept::with("operator_recovery", "recovery codes of operators, hashed", ACCOUNT),
    Kept::after(
        "operator_sessions",
        "sessions of operators",
        After::fixed(0, "their end", "expires_at", "hash"),
    ),
    Kept::after(
        "operator_invitations",
        "invitations of operators",
        After::fixed(0, "their end", "expires_at", "id"),
    ),
    Kept::after(
        "person_invitations",
        "invitations of people, hashed",
        After::fixed(0, "their end", "expires_at", "id"),
    ),
    Kept::after(
        "proposals",
        "proposals and what became of them",
        // Broken glass waits until somebody has looked, however long that takes.
        After::set(
            Setting::Proposals,
            "the decision, or their end",
            "COALESCE(decided_at, expires_at)",
            "id",
        )
        .only("(NOT break_glass OR acknowledged_by IS NOT NULL)"),
    ),
    Kept::after(
        "reviews",
        "access reviews",
        After::set(Setting::Reviews, "their closing", "closed_at", "id").gone_by(By::Review),
    ),
    Kept::with("review_rows", "lines of access reviews", "as long as their review"),
    Kept::after(
        "secret_uses",
        "when secrets of applications were used last",
        After::set(Setting::SecretUses, "that use", "last_used", "client_id, secret_id"),
    ),
    Kept::with("signing_keys", "signing keys", "for ever: a key that has ended must never come back"),
    Kept::with("data_keys", "keys that seal fields, wrapped", "for ever: a backup may need them"),
    Kept::with("registry_version", "the registry's version", ONE_ROW),
    Kept::with("staff_version", "the version of the list of operators", ONE_ROW),
    Kept::with("signing_keys_version", "the version of the list of keys", ONE_ROW),
    Kept::with("people_idle", "when accounts were used last, where that is watched", ACCOUNT),
    Kept::with("retention_runs", "what was deleted last, in numbers", "one row for each table here"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portcullis_guard::feed::Kind;

    use super::*;
    use crate::copies::table_names;

    #[test]
    fn every_table_says_how_long_it_is_kept() {
        let told: BTreeSet<_> = KEPT.iter().map(|kept| kept.table).collect();
        let there: BTreeSet<_> = table_names().collect();
        assert_eq!(told, there, "a table that is added says in retention.rs how long its rows are kept");
        assert_eq!(told.len(), KEPT.len(), "no table stands there twice");
    }

    #[test]
    fn words_of_the_feed_are_not_counted_as_what_has_ended() {
        let kept = KEPT.iter().find(|kept| kept.table == "rv_log").expect("it is in the list");
        let Until::After(after) = kept.until else { panic!("it has a period") };
        let words = [Kind::Beat, Kind::Policy, Kind::Keys].map(|kind| (kind as u8).to_string());
        assert_eq!(after.of, format!("kind NOT IN ({})", words.join(", ")));
    }

    #[test]
    fn a_period_of_nothing_is_for_ever() {
        let periods = Periods { reviews: 0, ..Periods::default() };
        assert_eq!(Span::Set(Setting::Reviews).seconds(&periods), None);
        assert_eq!(Span::Set(Setting::Logins).seconds(&periods), Some(90 * DAY));
        assert_eq!(Span::Fixed(7).seconds(&periods), Some(7));
    }
}
