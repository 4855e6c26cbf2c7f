//! Under which ids the feed could end a token. Worked out once per token, because it costs a SHA-256 per
//! name; asking the table costs none.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Id, Kind, name_id,
    table::{Key, Reader},
};
use crate::Claims;

/// Everything under which one token could be ended, with the generations it carries.
#[derive(Clone, Debug)]
pub struct Names {
    pub(super) issued_at: u64,
    pub(super) probes: Box<[Probe]>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub kind: Kind,
    pub by_generation: Key,
    pub by_time: Key,
    /// The generation in the token: a held number above it ends the token.
    pub generation: u32,
}

impl Names {
    pub(super) fn of(salt: &[u8], kid: &str, claims: &Claims) -> Self {
        let gv = claims.gv;
        let mut names = Collector { salt, probes: Vec::with_capacity(8) };
        names.add(Kind::Token, &claims.jti, 0);
        names.add(Kind::Key, kid, 0);
        names.add(Kind::Subject, &claims.sub, gv.0);
        names.add(Kind::Client, &claims.client_id, gv.1);
        names.add(Kind::Everything, "", gv.3);
        if let Some(sid) = &claims.sid {
            names.add(Kind::Family, sid, 0);
        }
        if let Some(organization) = &claims.organization {
            names.add(Kind::Organization, &organization.id, gv.2);
        }
        for actor in claims.actors() {
            names.add(Kind::Actor, &actor.sub, actor.gv);
            if let Some(shown) = &actor.from {
                names.add(Kind::Token, &shown.jti, 0);
                names.add(Kind::Client, &shown.client_id, shown.gv);
                names.add(Kind::Key, &shown.kid, 0);
                shown.sid.iter().for_each(|sid| names.add(Kind::Family, sid, 0));
            }
        }
        Self { issued_at: claims.iat, probes: names.probes.into() }
    }
}

impl Probe {
    /// Whether the table ends a token by this name. `issued_at` is given when the table holds any times.
    pub fn hits(&self, table: &Reader, issued_at: Option<u64>) -> bool {
        let outright = ends_outright(self.kind);
        if table.find(self.by_generation).is_some_and(|least| outright || least > self.generation) {
            return true;
        }
        // Equality ends: who logs in within the same second tries again.
        issued_at.filter(|_| !outright).is_some_and(|issued_at| {
            table.find(self.by_time).is_some_and(|cutoff| issued_at <= cutoff.into())
        })
    }
}

/// The id under which the feed speaks of a thing. Tokens and logins are named by 16 random bytes and keep
/// them; a token whose `jti` has another form, which is none of ours, is named by a hash like everything
/// else.
pub fn feed_id(salt: &[u8], kind: Kind, name: &str) -> Id {
    let raw = matches!(kind, Kind::Token | Kind::Family).then(|| URL_SAFE_NO_PAD.decode(name).ok()).flatten();
    raw.and_then(|bytes| bytes.try_into().ok()).unwrap_or_else(|| name_id(salt, kind, name))
}

/// Kinds whose record ends what it names, whatever else it says. An `iat` cannot save a token signed with a
/// stolen key, because whoever has the key writes the `iat`.
pub(super) fn ends_outright(kind: Kind) -> bool {
    matches!(kind, Kind::Token | Kind::Family | Kind::Key)
}

struct Collector<'a> {
    salt: &'a [u8],
    probes: Vec<Probe>,
}

impl Collector<'_> {
    fn add(&mut self, kind: Kind, name: &str, generation: u32) {
        let id = feed_id(self.salt, kind, name);
        let (by_generation, by_time) = (Key::new(kind, false, &id), Key::new(kind, true, &id));
        self.probes.push(Probe { kind, by_generation, by_time, generation });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_its_own_id_and_others_are_hashed() {
        let raw = [5; 16];
        let jti = URL_SAFE_NO_PAD.encode(raw);
        assert_eq!(feed_id(b"s", Kind::Token, &jti), raw);
        assert_eq!(feed_id(b"s", Kind::Family, &jti), raw);
        assert_eq!(feed_id(b"s", Kind::Subject, &jti), name_id(b"s", Kind::Subject, &jti));
        assert_eq!(feed_id(b"s", Kind::Token, "a-foreign-jti"), name_id(b"s", Kind::Token, "a-foreign-jti"));
    }
}
