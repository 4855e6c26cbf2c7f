//! Which safety settings protect less than their defaults do. Nothing here is wrong, or the server would not have
//! started (`findings.rs`); but whoever lowered one did it alone, with an editor, so the audit log and
//! `portcullis status` say which.

use super::Settings;

/// The audit log is for whoever reviews once a year.
const YEAR_DAYS: u32 = 365;
/// So many times its default a proposal may wait before it is said: somebody in another time zone is no danger.
const PATIENT: u32 = 4;

impl Settings {
    /// Each as `name = value`, in an order that does not change.
    pub fn lowered(&self) -> Vec<String> {
        let usual = Self::default();
        let mut found = Vec::new();
        for (name, allowance) in self.limits.named() {
            if allowance.is_open() {
                found.push(format!("limits.{name}.count = 0"));
            }
        }
        if self.keys.plaintext {
            found.push("keys.plaintext = true".into());
        }
        let (admin, ordinary) = (&self.admin, &usual.admin);
        if admin.enabled && admin.tls.is_none() && !admin.address.is_loopback() {
            found.push(format!("admin.address = {} without admin.tls", admin.address));
        }
        if self.trusted_proxies.everybody() {
            found.push("trusted_proxies = everybody".into());
        }
        let days = self.audit.retention_days;
        if days > 0 && days < YEAR_DAYS {
            found.push(format!("audit.retention_days = {days}"));
        }
        let (hashing, least) = (&self.passwords, &usual.passwords);
        for (name, value, least) in [
            ("passwords.memory_kib", hashing.memory_kib, least.memory_kib),
            ("passwords.iterations", hashing.iterations, least.iterations),
        ] {
            if value < least {
                found.push(format!("{name} = {value}"));
            }
        }
        for (name, value, most) in [
            ("feed.max_staleness_ms", self.feed.max_staleness_ms, usual.feed.max_staleness_ms),
            ("admin.session_idle", admin.session_idle.into(), ordinary.session_idle.into()),
            ("admin.session_lifetime", admin.session_lifetime.into(), ordinary.session_lifetime.into()),
            (
                "admin.proposal_lifetime",
                admin.proposal_lifetime.into(),
                u64::from(ordinary.proposal_lifetime) * u64::from(PATIENT),
            ),
        ] {
            if value > most {
                found.push(format!("{name} = {value}"));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_not_below_themselves() {
        assert_eq!(Settings::default().lowered(), Vec::<String>::new());
    }

    #[test]
    fn each_setting_that_protects_less_is_named() {
        type Lowers = fn(&mut Settings);
        let lowers: [(&str, Lowers); 12] = [
            ("limits.guesses.count = 0", |it| it.limits.guesses.count = 0),
            ("keys.plaintext = true", |it| it.keys.plaintext = true),
            ("admin.address = 0.0.0.0 without admin.tls", |it| {
                it.admin.enabled = true;
                it.admin.address = std::net::Ipv4Addr::UNSPECIFIED.into();
            }),
            ("trusted_proxies = everybody", |it| {
                it.trusted_proxies = serde_json::from_str(r#"["0.0.0.0/0"]"#).unwrap();
            }),
            ("audit.retention_days = 364", |it| it.audit.retention_days = 364),
            ("passwords.memory_kib = 19455", |it| it.passwords.memory_kib = 19_455),
            ("passwords.iterations = 1", |it| it.passwords.iterations = 1),
            ("feed.max_staleness_ms = 10001", |it| it.feed.max_staleness_ms = 10_001),
            ("admin.session_idle = 1801", |it| it.admin.session_idle = 1801),
            ("admin.session_lifetime = 28801", |it| it.admin.session_lifetime = 28_801),
            ("admin.proposal_lifetime = 3601", |it| it.admin.proposal_lifetime = 3601),
            ("limits.address.count = 0", |it| it.limits.address.count = 0),
        ];
        for (named, lower) in lowers {
            let mut settings = Settings::default();
            lower(&mut settings);
            assert_eq!(settings.lowered(), [named]);
        }
    }

    #[test]
    fn what_protects_more_is_not_named() {
        let mut settings = Settings::default();
        settings.audit.retention_days = 0;
        settings.feed.max_staleness_ms = 5000;
        settings.passwords.memory_kib = 65_536;
        settings.admin.proposal_lifetime = 3600;
        settings.limits.guesses.count = 1;
        assert_eq!(settings.lowered(), Vec::<String>::new());
    }
}
