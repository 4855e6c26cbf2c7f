//! How long what is over is kept (docs/retention.md). The audit log's own period is `audit.retention_days`.

use portcullis_authority::inactivity::IdleTerms;
use portcullis_store::{Periods, Setting};
use serde::{Deserialize, Serialize};

use super::findings::Found;

/// Ten years: whoever wants more wants for ever.
const MOST: u32 = 3653;
/// An erasure is looked for in its proposal for a week after it was done.
const LEAST_PROPOSALS: u32 = 8;
/// A login lasts two weeks without anybody being asked anything; a holiday comes on top.
const LEAST_INACTIVE: u32 = 30;
const DAY: u64 = 86_400;

/// Days; 0 is for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Logins after the last moment at which they could be refreshed.
    pub logins_days: u32,
    /// Proposals after they were decided or ran out.
    pub proposals_days: u32,
    /// Access reviews after they were closed.
    pub reviews_days: u32,
    /// What a destination of audit records would not take, after its last refusal.
    pub dead_letters_days: u32,
    /// When a secret was used last, after that.
    pub secret_uses_days: u32,
    /// Accounts of people that were not used for so long are closed; 0 closes none.
    pub inactive_people_days: u32,
    /// So long before, the audit log and with it whoever is told of records says so.
    pub inactive_warning_days: u32,
    /// So long after it was closed for that, an account is anonymised; 0 leaves it closed.
    pub erase_inactive_after_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        let periods = Periods::default();
        Self {
            logins_days: periods.logins,
            proposals_days: periods.proposals,
            reviews_days: periods.reviews,
            dead_letters_days: periods.dead_letters,
            secret_uses_days: periods.secret_uses,
            inactive_people_days: 0,
            inactive_warning_days: 30,
            erase_inactive_after_days: 0,
        }
    }
}

impl Retention {
    /// Together with the audit log's own.
    pub(super) fn periods(&self, audit: u32) -> Periods {
        Periods {
            audit,
            logins: self.logins_days,
            proposals: self.proposals_days,
            reviews: self.reviews_days,
            dead_letters: self.dead_letters_days,
            secret_uses: self.secret_uses_days,
        }
    }

    /// What is done about accounts that nobody uses, if anything.
    pub fn inactivity(&self) -> Option<IdleTerms> {
        let seconds = |days: u32| u64::from(days) * DAY;
        (self.inactive_people_days > 0).then(|| IdleTerms {
            closed_after: seconds(self.inactive_people_days),
            warned_before: seconds(self.inactive_warning_days),
            erased_after: Some(self.erase_inactive_after_days).filter(|days| *days > 0).map(seconds),
        })
    }

    pub(super) fn check(&self, audit: u32, found: &mut Found) {
        let bounds = [
            (Setting::Logins, self.logins_days, 1),
            (Setting::Proposals, self.proposals_days, LEAST_PROPOSALS),
            (Setting::Reviews, self.reviews_days, 1),
            (Setting::DeadLetters, self.dead_letters_days, 1),
            (Setting::SecretUses, self.secret_uses_days, 1),
        ];
        for (setting, days, least) in bounds {
            if days != 0 && !(least..=MOST).contains(&days) {
                let name = setting.name();
                found.refuse(format!(
                    "{name} must be 0 for ever, or between {least} and {MOST}; it is {days}."
                ));
            }
        }
        self.check_inactivity(audit, found);
    }

    fn check_inactivity(&self, audit: u32, found: &mut Found) {
        let after = self.inactive_people_days;
        if after == 0 {
            if self.erase_inactive_after_days > 0 {
                found.refuse("retention.erase_inactive_after_days needs retention.inactive_people_days.");
            }
            return;
        }
        if !(LEAST_INACTIVE..=MOST).contains(&after) {
            found.refuse(format!(
                "retention.inactive_people_days must be 0 for never, or between {LEAST_INACTIVE} and {MOST}; it is {after}."
            ));
        }
        if self.inactive_warning_days >= after {
            found.refuse("retention.inactive_warning_days must be less than retention.inactive_people_days.");
        }
        if self.erase_inactive_after_days > MOST {
            found.refuse(format!("retention.erase_inactive_after_days must be at most {MOST}."));
        }
        // When somebody was there last, the audit log says; it must reach back that far.
        if audit != 0 && audit < after {
            found.refuse(format!(
                "retention.inactive_people_days must be at most audit.retention_days, which is {audit}: the log says who was there."
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn the_base_layer_says_the_defaults() {
        let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/base.toml");
        assert!(std::fs::read_to_string(&base).unwrap().contains("[retention]"));
        let loaded = Settings::load(&[base], std::iter::empty()).unwrap();
        assert_eq!(loaded.retention, Retention::default());
        assert_eq!(loaded.periods(), Periods::default());
    }

    #[test]
    fn a_period_that_would_lose_an_erasure_is_refused_by_name() {
        let mut settings = Settings::default();
        settings.retention.proposals_days = 7;
        settings.retention.reviews_days = 0;
        let said: Vec<_> = settings.check().into_iter().map(|finding| finding.sentence).collect();
        assert!(said.iter().any(|it| it.starts_with("retention.proposals_days")), "{said:?}");
        assert!(!said.iter().any(|it| it.starts_with("retention.reviews_days")), "{said:?}");
    }

    #[test]
    fn nobody_is_called_inactive_by_a_log_that_does_not_reach_back() {
        let mut settings = Settings::default();
        let said = |settings: &Settings| -> Vec<String> {
            let found = settings.check().into_iter().map(|finding| finding.sentence);
            found.filter(|sentence| sentence.starts_with("retention.")).collect()
        };
        settings.retention.inactive_people_days = 365;
        assert!(said(&settings).is_empty(), "{:?}", said(&settings));
        settings.audit.retention_days = 364;
        assert!(said(&settings)[0].contains("audit.retention_days"), "{:?}", said(&settings));
        settings.audit.retention_days = 0;
        settings.retention.inactive_warning_days = 365;
        assert!(said(&settings)[0].starts_with("retention.inactive_warning_days"));
        settings.retention.inactive_people_days = 0;
        settings.retention.erase_inactive_after_days = 1;
        assert!(said(&settings)[0].starts_with("retention.erase_inactive_after_days"));
        assert_eq!(settings.retention.inactivity(), None);
    }
}
