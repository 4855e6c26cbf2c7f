//! What holds after every change, whichever it was: nobody has two roles that are declared in conflict,
//! nobody has granted more than they have, and nobody but an admin has changed their own lot.

use portcullis_guard::policy::{Action, Permission};

use super::estate::{Estate, role_id};
use super::{Card, Declined, Kind, Objection};
use crate::registry::{Membership, Role, RoleKind};

/// Separation of duties.
///
/// # Errors
/// [`Declined::Invalid`] when somebody would have two roles in conflict who does not have them already.
pub fn are_separate(before: &Estate, after: &Estate) -> Result<(), Declined> {
    let known = clashes(before);
    match clashes(after).into_iter().find(|clash| !known.contains(clash)) {
        None => Ok(()),
        Some((_, left, right)) => {
            let name = |id: &str| after.roles.get(id).map_or(id, |role| role.name.as_str()).to_owned();
            let detail = format!(
                "gives one person two roles that are declared in conflict: {} and {}",
                name(&left),
                name(&right)
            );
            Err(Objection::relationship("role", detail).into())
        }
    }
}

/// That the roles which `person` has changed or handed out are within that person's own, as it was before.
///
/// # Errors
/// [`Declined::Forbidden`].
pub fn are_granted(before: &Estate, after: &Estate, person: &str) -> Result<(), Declined> {
    let more = || Declined::forbidden("Nobody can grant more than they have.");
    let own = |organization: &str| before.place(person, organization).and_then(|place| before.role_of(place));
    for (id, role) in &after.roles {
        let same = before.roles.get(id).is_some_and(|was| was.permissions == role.permissions);
        if !same && !own(&role.organization).is_none_or(|own| covers(own, role)) {
            return Err(more());
        }
    }
    for (key, card) in &after.cards {
        if card.kind != Kind::ApplicationMembership || before.cards.get(key) == Some(card) {
            continue;
        }
        let role = card.text("role").and_then(|id| after.roles.get(id));
        let within = match (own(&card.organization), role) {
            (Some(own), Some(role)) => covers(own, role),
            _ => false,
        };
        if !within {
            return Err(more());
        }
    }
    Ok(())
}

/// That nobody but an admin has changed what they may do themselves: the permissions and the conflicts of a
/// role that they hold, and what their membership is kept to. Whoever is kept to some applications hands out
/// none, because what a bundle gives cannot be compared with what theirs leaves.
///
/// Deleting a role that one holds is no way around: it ends the membership.
///
/// # Errors
/// [`Declined::Forbidden`].
pub fn are_not_ones_own(before: &Estate, after: &Estate, person: &str) -> Result<(), Declined> {
    let admin = |place: &Membership| before.role_of(place).is_some_and(|role| role.kind == RoleKind::Admin);
    let places = before.memberships.values().filter(|place| place.active && place.user == person);
    for place in places.filter(|place| !admin(place)) {
        for id in held(place) {
            let of = |estate: &Estate| {
                let conflicts =
                    estate.card(Kind::Role, &id).map(|card| card.texts("conflicts_with").join(" "));
                let role = estate.roles.get(&id)?;
                Some((role.permissions.clone(), conflicts.unwrap_or_default()))
            };
            if of(after).is_some_and(|is| of(before) != Some(is)) {
                return Err(Declined::forbidden(
                    "Nobody but an admin changes a role that they hold themselves.",
                ));
            }
        }
        let kept = |place: &Membership| (place.applications.clone(), place.modes.clone());
        if after.memberships.get(&place.id).is_some_and(|is| kept(is) != kept(place)) {
            let sentence = "Nobody but an admin changes what they are kept to themselves.";
            return Err(Declined::forbidden(sentence));
        }
        let bundled = |card: &&Card| {
            matches!(card.kind, Kind::ApplicationMembership | Kind::MembershipProfile)
                && card.organization == place.organization
        };
        let same = |card: &Card| before.cards.get(&(card.kind, card.id.clone())) == Some(card);
        if kept(place) != (None, None) && after.cards.values().filter(bundled).any(|card| !same(card)) {
            let sentence = "Whoever is kept to some applications hands out none; an admin can.";
            return Err(Declined::forbidden(sentence));
        }
    }
    Ok(())
}

/// The roles of a member, by their ids in the API: the membership's and those of its applications.
fn held(place: &Membership) -> Vec<String> {
    let beside = place.applications.iter().flatten().map(|share| &share.role);
    std::iter::once(&place.role).chain(beside).map(|id| role_id(&place.organization, id)).collect()
}

/// Whether one role allows everything that another does.
fn covers(own: &Role, wanted: &Role) -> bool {
    match (own.kind, wanted.kind) {
        (RoleKind::Admin, _) | (RoleKind::ReadOnly, RoleKind::ReadOnly) => true,
        (_, RoleKind::Admin | RoleKind::ReadOnly) => false,
        (RoleKind::ReadOnly, RoleKind::Custom) => wanted
            .permissions
            .iter()
            .all(|entry| entry.actions.iter().all(|action| matches!(action, Action::Read | Action::List))),
        (RoleKind::Custom, RoleKind::Custom) => wanted.permissions.iter().all(|entry| {
            entry.actions.iter().all(|action| own.permissions.iter().any(|has| allows(has, entry, action)))
        }),
    }
}

/// Whether a permission is at least as wide as another for an action: the same subject or all, and no
/// restriction that the other does not have too.
pub(super) fn allows(has: &Permission, wanted: &Permission, action: Action) -> bool {
    (has.subject == "*" || has.subject == wanted.subject)
        && has.actions.contains(action)
        && has.when.iter().all(|restriction| wanted.when.contains(restriction))
}

/// Membership and two roles in conflict, in the order of their ids.
fn clashes(estate: &Estate) -> Vec<(String, String, String)> {
    let declared: Vec<(&str, &str)> = estate
        .cards_of(Kind::Role)
        .flat_map(|card| card.texts("conflicts_with").into_iter().map(|other| (card.id.as_str(), other)))
        .collect();
    if declared.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for membership in estate.all(Kind::Membership) {
        let profile = membership.leads_to("membership_profile");
        let beside = estate.cards_of(Kind::ApplicationMembership).filter(|card| {
            card.text("membership") == Some(&membership.id)
                || profile.is_some() && card.text("membership_profile") == profile
        });
        let roles: Vec<&str> = membership
            .leads_to("role")
            .into_iter()
            .chain(beside.filter_map(|card| card.text("role")))
            .collect();
        for (left, right) in &declared {
            if roles.contains(left) && roles.contains(right) {
                let (left, right) = if left < right { (left, right) } else { (right, left) };
                found.push((membership.id.clone(), (*left).to_owned(), (*right).to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use portcullis_guard::policy::Restriction;

    use super::*;

    fn role(kind: RoleKind, permissions: Vec<Permission>) -> Role {
        Role { id: "r".into(), organization: "o".into(), name: "r".into(), kind, permissions }
    }

    #[test]
    fn a_role_covers_what_is_as_narrow_or_narrower() {
        let orders = |actions: &[Action]| Permission::new("orders", actions.iter().copied());
        let wide = role(RoleKind::Custom, vec![orders(&[Action::Read, Action::Update])]);
        let fenced = role(
            RoleKind::Custom,
            vec![orders(&[Action::Read, Action::Update]).when(Restriction::MarketScope)],
        );
        let more = role(RoleKind::Custom, vec![orders(&[Action::Destroy])]);
        let all = role(RoleKind::Custom, vec![Permission::new("*", [Action::Read])]);
        assert!(covers(&wide, &wide) && covers(&wide, &fenced) && covers(&fenced, &fenced));
        assert!(!covers(&fenced, &wide) && !covers(&wide, &more) && !covers(&wide, &all));
        assert!(covers(&role(RoleKind::Admin, vec![]), &all));
        assert!(!covers(&all, &role(RoleKind::Admin, vec![])));
        assert!(covers(&role(RoleKind::ReadOnly, vec![]), &all));
        assert!(!covers(&role(RoleKind::ReadOnly, vec![]), &more));
    }
}
