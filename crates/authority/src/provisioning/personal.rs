//! Which subjects hold personal data, and when a role, a member or an application gains some of it. An organization may
//! say that this takes two operators (decisions 0033 and 0034); then it is refused here, whichever way it would come
//! about.

use portcullis_guard::policy::Permission;

use super::estate::Estate;
use super::extent::Extent;
use super::{Declined, permissions, shares};
use crate::registry::{Membership, Role};

/// A subject, and what it holds of people. In the order of their names; docs/permissions.md has the same table.
pub const PERSONAL: &[(&str, &str)] = &[
    ("addresses", "names, addresses, telephone numbers"),
    ("adyen_payments", "who pays and with what"),
    ("attachments", "files about orders, parcels and customers"),
    ("authorizations", "payments, with what the gateway told"),
    ("axerve_payments", "who pays and with what"),
    ("braintree_payments", "who pays and with what"),
    ("captures", "payments, with what the gateway told"),
    ("checkout_com_payments", "who pays and with what"),
    ("coupon_recipients", "names and e-mail addresses"),
    ("customer_addresses", "whose an address is"),
    ("customer_groups", "who is in which group"),
    ("customer_password_resets", "e-mail addresses, and a way into the account"),
    ("customer_payment_sources", "means of payment that were kept"),
    ("customer_subscriptions", "e-mail addresses"),
    ("customers", "e-mail addresses and accounts"),
    ("event_callbacks", "what was sent to webhooks, people included"),
    ("event_stores", "every change of every resource, old and new"),
    ("exports", "any resource, in bulk"),
    ("external_payments", "who pays and with what"),
    ("gift_card_recipients", "names and e-mail addresses"),
    ("gift_cards", "e-mail addresses of recipients"),
    ("imports", "any resource, in bulk"),
    ("in_stock_subscriptions", "who waits for what"),
    ("klarna_payments", "who pays and with what"),
    ("order_subscriptions", "who orders what again and again"),
    ("orders", "e-mail addresses, what was bought, where it goes"),
    ("parcels", "where an order goes"),
    ("paypal_payments", "who pays and with what"),
    ("refunds", "payments, with what the gateway told"),
    ("returns", "who sends what back, and from where"),
    ("satispay_payments", "who pays and with what"),
    ("shipments", "where an order goes"),
    ("stripe_payments", "who pays and with what"),
    ("transactions", "payments, with what the gateway told"),
    ("voids", "payments, with what the gateway told"),
    ("webhooks", "a way out for whatever they are about"),
    ("wire_transfers", "who pays and with what"),
];

/// Whether a permission on this subject can reach personal data; `*` reaches all there is.
pub fn is_personal(subject: &str) -> bool {
    subject == "*" || PERSONAL.iter().any(|(name, _)| *name == subject)
}

/// Whether a role allows something on personal data that it did not before: another action, or the same one under
/// fewer restrictions.
pub fn gains(before: Option<&Role>, after: &Role) -> bool {
    let same = |before: &Role| (before.kind, &before.permissions) == (after.kind, &after.permissions);
    let had = || before.map(|role| Extent::of_role(role, is_personal)).unwrap_or_default();
    !before.is_some_and(same) && Extent::of_role(after, is_personal).exceeds(&had())
}

/// That nobody alone has widened what is allowed on personal data, or who may do it, where that takes two.
///
/// # Errors
/// [`Declined::Forbidden`], with how it is done instead.
pub fn takes_two(before: &Estate, after: &Estate) -> Result<(), Declined> {
    let asked = |organization: &str| {
        before.organizations.get(organization).is_some_and(|it| it.safety.second_person_for_personal_data)
    };
    if !before.organizations.keys().any(|id| asked(id)) {
        return Ok(());
    }
    let mut roles = after.roles.iter().filter(|(_, role)| asked(&role.organization));
    if roles.any(|(id, role)| gains(before.roles.get(id), role)) {
        return Err(Declined::forbidden(
            "This permits more on personal data, which takes two operators in this organization: ask them to propose and confirm it (portcullis organizations permit).",
        ));
    }
    match somebody_gains(before, after, asked) || some_application_gains(before, after, asked) {
        false => Ok(()),
        true => Err(Declined::forbidden(
            "This gives somebody more of personal data, which takes two operators in this organization: ask them to propose and confirm it (portcullis organizations entrust; portcullis people invite for a new account).",
        )),
    }
}

/// Whether a member can do more than before, or whoever takes up an invitation could. So to take it up is no gain, and
/// to come back after one has left is one.
fn somebody_gains(before: &Estate, after: &Estate, asked: impl Fn(&str) -> bool) -> bool {
    let (had, has) = (shares::places(before), shares::places(after));
    let narrows = |estate: &Estate, id: &String| {
        estate.applications.get(id).map(|it| (it.organization.clone(), it.role.clone(), it.mode))
    };
    let same = |id: &String| narrows(before, id) == narrows(after, id);
    let unmoved = |place: &Membership| {
        had.get(&place.id) == Some(place)
            && place.applications.iter().flatten().all(|share| same(&share.application))
    };
    has.values().filter(|place| asked(&place.organization) && !unmoved(place)).any(|place| {
        let was = had.get(&place.id).map(|was| Extent::of_member(before, was, is_personal));
        Extent::of_member(after, place, is_personal).exceeds(&was.unwrap_or_default())
    })
}

/// Whether an application can do more than before. One that is switched off keeps its role, so to switch it on again is
/// no gain.
fn some_application_gains(before: &Estate, after: &Estate, asked: impl Fn(&str) -> bool) -> bool {
    after.applications.values().filter(|it| asked(&it.organization)).any(|it| {
        let was = before.applications.get(&it.id);
        let had = || was.map(|was| Extent::of_application(before, was, is_personal)).unwrap_or_default();
        was != Some(it) && Extent::of_application(after, it, is_personal).exceeds(&had())
    })
}

/// The role with this permission and no other on its subject.
///
/// # Errors
/// [`Declined::Invalid`] when no guard could read it.
pub(crate) fn permitting(mut role: Role, entry: Permission) -> Result<Role, Declined> {
    permissions::check(&entry)?;
    role.permissions.retain(|one| one.subject != entry.subject);
    role.permissions.push(entry);
    Ok(role)
}

#[cfg(test)]
mod tests {
    use portcullis_guard::policy::{Action, Restriction, subjects};

    use super::*;
    use crate::registry::RoleKind;

    /// The page says the same as the table, row by row.
    const PAGE: &str = include_str!("../../../../docs/permissions.md");

    fn role(permissions: &[Permission]) -> Role {
        Role {
            id: "r".into(),
            organization: "o".into(),
            name: "r".into(),
            kind: RoleKind::Custom,
            permissions: permissions.to_vec(),
        }
    }

    #[test]
    fn only_more_on_personal_data_is_a_gain() {
        let read = |subject: &str| Permission::new(subject, [Action::Read, Action::List]);
        let fenced = read("orders").when(Restriction::MarketScope);
        let (orders, narrow) = (role(&[read("orders")]), role(&[fenced]));
        assert!(gains(None, &orders) && gains(Some(&narrow), &orders), "more actions, fewer restrictions");
        assert!(!gains(Some(&orders), &narrow) && !gains(Some(&orders), &role(&[])), "less");
        assert!(!gains(None, &role(&[read("skus")])), "nobody is in a catalogue");
        assert!(!gains(None, &role(&[Permission::new("orders", [])])), "nothing is allowed by it");
        assert!(gains(Some(&orders), &role(&[read("*")])), "everything holds people too");
        assert!(!gains(Some(&role(&[read("*")])), &orders));
        let split =
            role(&[Permission::new("orders", [Action::List]), Permission::new("orders", [Action::Read])]);
        assert!(!gains(Some(&split), &orders), "the same in two entries");
    }

    #[test]
    fn the_table_is_in_order_and_names_subjects_that_there_are() {
        assert!(PERSONAL.is_sorted_by_key(|(subject, _)| *subject));
        for (subject, _) in PERSONAL {
            assert!(subjects().any(|known| known == *subject), "{subject}");
        }
    }

    #[test]
    fn the_page_has_the_same_table() {
        let (_, section) =
            PAGE.split_once("| subject | holds |\n|---|---|\n").expect("the page has the table");
        let (rows, _) = section.split_once("\n\n").expect("the table ends");
        let ours: Vec<_> =
            PERSONAL.iter().map(|(subject, holds)| format!("| `{subject}` | {holds} |")).collect();
        assert_eq!(rows.lines().collect::<Vec<_>>(), ours);
    }
}
