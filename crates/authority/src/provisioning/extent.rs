//! How far a role, a member or an application goes: all roles on the way, and whatever narrows them, taken together. So
//! what was there before a change can be held against what is there after it. As at a guard, nothing is reached that
//! one of several roles does not allow. Which subjects matter, whoever compares says; what is wide never counts twice,
//! so that many roles on one way cost little.

use portcullis_guard::policy::{Action, Actions, Permission};

use super::duties::allows;
use super::estate::{Estate, role_id};
use crate::registry::{Application, ApplicationKind, Membership, Mode, Role, RoleKind, Share};

const BOTH_MODES: [Mode; 2] = [Mode::Live, Mode::Test];
/// Permissions on one way beyond which nobody can say what several roles allow together.
const MOST_ENTRIES: usize = 512;

/// Which subjects are looked at.
type Matters = fn(&str) -> bool;

/// All of it, way by way; nothing is the usual case.
#[derive(Default)]
pub struct Extent(Vec<Way>);

/// One way to it.
struct Way {
    /// What every role on the way allows; `None` when that is past telling, and counts as everything where something
    /// may be too much, and as nothing where it may be enough.
    allowed: Option<Vec<Permission>>,
    /// Ids; `None` is every market.
    markets: Option<Vec<String>>,
    modes: Vec<Mode>,
}

impl Extent {
    /// What a role reaches in whoever's hands.
    pub fn of_role(role: &Role, matters: Matters) -> Self {
        let allowed = allowed(vec![role], matters);
        Self(vec![Way { allowed, markets: None, modes: BOTH_MODES.to_vec() }])
    }

    /// What somebody reaches through this place: by its role alone while it is open to every application, for there
    /// may be one without a role; or through some, by its role, theirs and those of the application memberships.
    pub fn of_member(estate: &Estate, place: &Membership, matters: Matters) -> Self {
        let open = |mode: &Mode| place.modes.as_ref().is_none_or(|modes| modes.contains(mode));
        let Some(shares) = &place.applications else {
            let modes = BOTH_MODES.into_iter().filter(open).collect();
            return Self(way((estate, matters), place, (&[], None), modes).into_iter().collect());
        };
        let mut through: Vec<&str> = shares.iter().map(|share| share.application.as_str()).collect();
        through.sort_unstable();
        through.dedup();
        let ways = through.into_iter().filter_map(|id| {
            let it = estate.applications.get(id)?;
            let own: Vec<&Share> = shares.iter().filter(|share| share.application == id).collect();
            let modes = Some(it.mode).into_iter().filter(open).collect();
            way((estate, matters), place, (&own, it.role.as_ref()), modes)
        });
        Self(ways.collect())
    }

    /// What an application reaches by itself. The role of any other kind only narrows those for whom it acts.
    pub fn of_application(estate: &Estate, it: &Application, matters: Matters) -> Self {
        let acts = matches!(it.kind, ApplicationKind::Integration | ApplicationKind::Webapp);
        let id = it.role.as_ref().filter(|_| acts).map(|id| role_id(&it.organization, id));
        let role = id.and_then(|id| estate.roles.get(&id));
        let own = |role| Way { allowed: allowed(vec![role], matters), markets: None, modes: vec![it.mode] };
        Self(role.map(own).into_iter().collect())
    }

    /// Whether something is reached here that was not before: another action, or the same one under fewer
    /// restrictions, in more markets, or among what is live beside what is for tests.
    pub fn exceeds(&self, before: &Self) -> bool {
        self.0.iter().any(|way| {
            let Some(allowed) = &way.allowed else { return !way.modes.is_empty() };
            allowed.iter().any(|entry| {
                let had = |action, mode| before.has(entry, action, mode, way.markets.as_deref());
                way.modes.iter().any(|mode| entry.actions.iter().any(|action| !had(action, *mode)))
            })
        })
    }

    fn has(&self, wanted: &Permission, action: Action, mode: Mode, markets: Option<&[String]>) -> bool {
        let wide = |way: &&Way| match (&way.markets, markets) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(wanted)) => wanted.iter().all(|id| own.contains(id)),
        };
        let ways = self.0.iter().filter(|way| way.modes.contains(&mode)).filter(wide);
        ways.filter_map(|way| way.allowed.as_ref()).flatten().any(|entry| allows(entry, wanted, action))
    }
}

/// The way through one application with its role, or through all of them when there is no share; none when a role is
/// gone.
fn way(
    (estate, matters): (&Estate, Matters),
    place: &Membership,
    (shares, own): (&[&Share], Option<&String>),
    modes: Vec<Mode>,
) -> Option<Way> {
    let named = std::iter::once(&place.role).chain(shares.iter().map(|share| &share.role)).chain(own);
    let roles: Option<Vec<&Role>> =
        named.map(|id| estate.roles.get(&role_id(&place.organization, id))).collect();
    let kept = shares.iter().filter_map(|share| share.markets.clone());
    let markets = kept.reduce(|left, right| left.into_iter().filter(|id| right.contains(id)).collect());
    Some(Way { allowed: allowed(roles?, matters), markets, modes })
}

/// What all of these roles of one organization allow; `None` past [`MOST_ENTRIES`].
fn allowed(mut roles: Vec<&Role>, matters: Matters) -> Option<Vec<Permission>> {
    roles.sort_unstable_by_key(|role| &role.id);
    roles.dedup_by_key(|role| &role.id);
    let mut each = roles.into_iter().map(|role| {
        let there = |entry: &Permission| matters(&entry.subject) && entry.actions.iter().next().is_some();
        widest(entries(role).into_iter().filter(there))
    });
    let first = each.next()??;
    each.try_fold(first, |so_far, next| widest(meet(&so_far, &next?)))
}

/// Those that no other one covers.
fn widest(all: impl Iterator<Item = Permission>) -> Option<Vec<Permission>> {
    let mut kept: Vec<Permission> = Vec::new();
    for entry in all {
        if kept.iter().any(|it| covers(it, &entry)) {
            continue;
        }
        kept.retain(|it| !covers(&entry, it));
        kept.push(entry);
        if kept.len() > MOST_ENTRIES {
            return None;
        }
    }
    Some(kept)
}

/// Whether the one allows all that the other does.
fn covers(wide: &Permission, narrow: &Permission) -> bool {
    narrow.actions.iter().all(|action| allows(wide, narrow, action))
}

/// The built-in roles have no permissions of their own in the books; every guard knows what they allow.
fn entries(role: &Role) -> Vec<Permission> {
    match role.kind {
        RoleKind::Admin => vec![Permission::new("*", Action::ALL)],
        RoleKind::ReadOnly => vec![Permission::new("*", [Action::Read, Action::List])],
        RoleKind::Custom => role.permissions.clone(),
    }
}

/// What both allow: the narrower subject, the actions that both have, and the restrictions of both.
fn meet(left: &[Permission], right: &[Permission]) -> impl Iterator<Item = Permission> {
    let pairs = left.iter().flat_map(|one| right.iter().map(move |other| (one, other)));
    pairs.filter_map(|(one, other)| {
        let subject = match (one.subject.as_str(), other.subject.as_str()) {
            (subject, "*") | ("*", subject) => subject,
            (subject, same) if subject == same => subject,
            _ => return None,
        };
        let actions: Actions = one.actions.iter().filter(|action| other.actions.contains(*action)).collect();
        actions.iter().next()?;
        let mut when = one.when.clone();
        when.extend(other.when.iter().filter(|it| !one.when.contains(it)).cloned());
        Some(Permission { subject: subject.to_owned(), actions, when })
    })
}

#[cfg(test)]
mod tests {
    use portcullis_guard::policy::Restriction;

    use super::*;

    const HOME: &str = "o";

    fn matters(subject: &str) -> bool {
        matches!(subject, "orders" | "*")
    }

    fn read(subject: &str) -> Permission {
        Permission::new(subject, [Action::Read, Action::List])
    }

    fn role(id: &str, kind: RoleKind, permissions: &[Permission]) -> Role {
        Role {
            id: id.into(),
            organization: HOME.into(),
            name: id.into(),
            kind,
            permissions: permissions.to_vec(),
        }
    }

    fn estate() -> Estate {
        let mut estate = Estate::default();
        let orders = read("orders");
        for one in [
            role("admin", RoleKind::Admin, &[]),
            role("read_only", RoleKind::ReadOnly, &[]),
            role("support", RoleKind::Custom, &[orders.clone(), read("skus")]),
            role("fenced", RoleKind::Custom, &[orders.when(Restriction::MarketScope)]),
            role("catalogue", RoleKind::Custom, &[read("skus")]),
        ] {
            estate.roles.insert(role_id(HOME, &one.id), one);
        }
        for (id, mode) in [("live", "live"), ("test", "test")] {
            let text = format!(
                r#"{{"id":"{id}","client_id":"{id}","organization":"{HOME}","name":"{id}","kind":"integration","confidential":true,"mode":"{mode}"}}"#
            );
            estate.applications.insert(id.into(), serde_json::from_str(&text).unwrap());
        }
        estate
    }

    fn place(role: &str) -> Membership {
        Membership {
            id: "m".into(),
            user: "u".into(),
            organization: HOME.into(),
            role: role.into(),
            owner: false,
            active: true,
            applications: None,
            modes: None,
        }
    }

    fn kept(role: &str, shares: &[(&str, &str, Option<&[&str]>)]) -> Membership {
        let shares = shares.iter().map(|(application, role, markets)| Share {
            application: (*application).into(),
            role: (*role).into(),
            markets: markets.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()),
        });
        Membership { applications: Some(shares.collect()), ..place(role) }
    }

    fn gains(before: &Membership, after: &Membership) -> bool {
        let estate = estate();
        Extent::of_member(&estate, after, matters).exceeds(&Extent::of_member(&estate, before, matters))
    }

    #[test]
    fn built_in_roles_reach_everything() {
        assert!(gains(&place("catalogue"), &place("read_only")) && gains(&place("support"), &place("admin")));
        assert!(gains(&place("read_only"), &place("admin")), "to write is more than to read");
        assert!(
            !gains(&place("read_only"), &place("support")) && !gains(&place("admin"), &place("read_only"))
        );
        assert!(!gains(&place("nobody"), &place("catalogue")), "nobody is in a catalogue");
        assert!(gains(&place("fenced"), &place("support")) && !gains(&place("support"), &place("fenced")));
    }

    #[test]
    fn whatever_widens_a_place_is_a_gain() {
        let through = kept("support", &[("live", "catalogue", None)]);
        assert!(gains(&through, &place("support")), "open to every application");
        assert!(gains(&through, &kept("support", &[("live", "support", None)])), "another role beside");
        let two = kept("support", &[("live", "support", None), ("live", "catalogue", None)]);
        assert!(gains(&two, &kept("support", &[("live", "support", None)])), "all roles must allow");
        let market = kept("support", &[("live", "support", Some(&["eu"]))]);
        let more = kept("support", &[("live", "support", Some(&["eu", "us"]))]);
        assert!(gains(&market, &more) && !gains(&more, &market));
        assert!(gains(&more, &kept("support", &[("live", "support", None)])), "every market");
        let test = kept("support", &[("test", "support", None)]);
        assert!(gains(&test, &kept("support", &[("live", "support", None)])), "live beside test");
        let closed = Membership { modes: Some(vec![Mode::Test]), ..place("support") };
        assert!(gains(&closed, &place("support")) && !gains(&place("support"), &closed));
        assert!(!gains(&place("support"), &market) && !gains(&place("support"), &kept("support", &[])));
        assert!(!gains(&kept("catalogue", &[]), &place("catalogue")), "the role holds nobody");
        assert!(!gains(&test, &kept("nobody", &[("live", "support", None)])), "a role that is gone");
    }

    #[test]
    fn whoever_is_kept_to_an_application_is_kept_to_its_role() {
        let (mut before, after) = (estate(), estate());
        let place = kept("support", &[("live", "support", None)]);
        before.applications.get_mut("live").unwrap().role = Some("catalogue".into());
        let at = |estate| Extent::of_member(estate, &place, matters);
        assert!(at(&after).exceeds(&at(&before)) && !at(&before).exceeds(&at(&after)));
    }

    #[test]
    fn an_application_reaches_what_its_role_does() {
        let mut estate = estate();
        let given = |estate: &Estate, kind, role: Option<&str>| {
            let it = estate.applications["live"].clone();
            Extent::of_application(estate, &Application { kind, role: role.map(Into::into), ..it }, matters)
        };
        let nothing = Extent::default();
        assert!(given(&estate, ApplicationKind::Integration, Some("read_only")).exceeds(&nothing));
        assert!(given(&estate, ApplicationKind::Webapp, Some("support")).exceeds(&nothing));
        for (kind, role) in [
            (ApplicationKind::Integration, Some("catalogue")),
            (ApplicationKind::Integration, None),
            (ApplicationKind::SalesChannel, Some("admin")),
        ] {
            assert!(!given(&estate, kind, role).exceeds(&nothing), "{kind:?} {role:?}");
        }
        estate.roles.clear();
        assert!(!given(&estate, ApplicationKind::Integration, Some("admin")).exceeds(&nothing));
    }

    #[test]
    fn many_roles_on_one_way_cost_little() {
        let mut estate = estate();
        let names: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
        for name in &names {
            let all = [Permission::new("*", []), read("orders"), read("skus")];
            estate.roles.insert(role_id(HOME, name), role(name, RoleKind::Custom, &all));
        }
        let through = |names: &[String]| {
            let shares: Vec<_> = names.iter().map(|name| ("live", name.as_str(), None)).collect();
            Extent::of_member(&estate, &kept("support", &shares), matters)
        };
        let same = vec![names[0].clone(); 40];
        for on_the_way in [&names, &same] {
            let entries = through(on_the_way).0.remove(0).allowed.unwrap();
            assert_eq!(entries, [read("orders")]);
        }
        assert!(!through(&names).exceeds(&through(&same)));
    }

    #[test]
    fn what_nobody_can_say_is_a_gain() {
        let mut estate = estate();
        let mut names = Vec::new();
        // Each may be had in either of two ways, so together they are had in a thousand.
        for number in 0..10 {
            let status = |word: &str| Restriction::StatusIn(vec![format!("{word}{number}")]);
            let entries = [read("orders").when(status("a")), read("orders").when(status("b"))];
            names.push(format!("r{number}"));
            let one = role(&names[number], RoleKind::Custom, &entries);
            estate.roles.insert(role_id(HOME, &one.id), one);
        }
        let shares: Vec<_> = names.iter().map(|name| ("live", name.as_str(), None)).collect();
        let tangled = Extent::of_member(&estate, &kept("support", &shares), matters);
        assert!(tangled.0[0].allowed.is_none());
        assert!(tangled.exceeds(&tangled) && tangled.exceeds(&Extent::default()));
    }
}
