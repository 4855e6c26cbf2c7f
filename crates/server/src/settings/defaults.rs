//! What is in force where nobody says anything: a server on one machine, in plain HTTP, over SQLite.

use std::net::Ipv4Addr;

use portcullis_authority::desk::Terms;

use super::{
    Admin, Audit, Day, Feed, Keys, Legacy, Limits, Listen, Log, LogFormat, Metrics, Mode, Passwords,
    ProxyHeader, Retention, Settings, Store, Tokens, Traces, TrustedProxies,
};

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Dev,
            issuer: "http://127.0.0.1:8080".into(),
            domain: None,
            listen: Listen::default(),
            tls: None,
            trusted_proxies: TrustedProxies::default(),
            proxy_header: ProxyHeader::default(),
            store: Store::default(),
            keys: Keys::default(),
            tokens: Tokens::default(),
            passwords: Passwords::default(),
            limits: Limits::default(),
            legacy: Legacy::default(),
            feed: Feed::default(),
            redis: None,
            admin: Admin::default(),
            audit: Audit::default(),
            retention: Retention::default(),
            metrics: Metrics::default(),
            traces: Traces::default(),
            log: Log::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), port: 8080, workers: 0, drain_delay_ms: 0 }
    }
}

impl Default for Store {
    fn default() -> Self {
        let url = "sqlite:data/portcullis.db".into();
        Self { url, root_certificate: None, pool: 8, patience_ms: 3000 }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            directory: "keys".into(),
            region: "eu1".into(),
            kek: None,
            kek_before: None,
            plaintext: false,
            rotate_every: 30 * 86_400,
            publish_ahead: 86_400,
            pkcs11: None,
        }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        let terms = Terms::default();
        Self {
            access_lifetime: terms.access_lifetime,
            refresh_lifetime: terms.refresh_lifetime,
            code_lifetime: terms.code_lifetime,
            refresh_grace: terms.refresh_grace,
            session_lifetime: terms.session_lifetime,
            algorithm: terms.algorithm,
            profile: terms.profile,
            audience: terms.audience,
        }
    }
}

impl Default for Passwords {
    fn default() -> Self {
        // The smallest setting that OWASP's password storage sheet recommends for Argon2id.
        Self { memory_kib: 19456, iterations: 2, parallelism: 1, workers: 0, queue: 64 }
    }
}

impl Default for Legacy {
    fn default() -> Self {
        // The vendor refused the old addresses from November 2024 on.
        Self { hosts: true, until: None, deprecated: Day::of(2024, 11, 1), sunset: None }
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self { name: "live:eu1".into(), max_staleness_ms: 10_000, beat_ms: 1000 }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            enabled: false,
            address: Ipv4Addr::LOCALHOST.into(),
            port: 8090,
            tls: None,
            names: Vec::new(),
            session_idle: 30 * 60,
            session_lifetime: 8 * 3600,
            proposal_lifetime: Terms::default().proposal_lifetime,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info,actix_server=warn".into() }
    }
}
