//! Every kind of record that the audit log may hold, with a sentence for those who read it. docs/audit.md is made of
//! this list; a record of a kind that is not in it fails the tests that write one.

/// An event and what it means.
pub type Event = (&'static str, &'static str);

/// In the order of their names.
pub const EVENTS: &[Event] = &[
    ("application.withdrawn", "A review withdrew an application's credentials."),
    ("audit.cut", "Old rows of the audit log went behind a signed cut."),
    ("audit.erased", "What the log held on somebody beside their id was erased."),
    ("audit.exported", "Somebody exported records; the detail says which."),
    ("audit.requeued", "What a destination had refused is told again."),
    ("audit.searched", "Somebody looked for records; the detail says which."),
    ("backup.restored", "A backup was put into these books."),
    ("backup.taken", "A backup was taken."),
    ("break_glass.acknowledged", "Somebody else has looked at broken glass."),
    ("break_glass.used", "An owner did alone what takes two persons."),
    ("consent.given", "A person agreed to an application."),
    ("consent.refused", "A person refused an application."),
    ("cut.made", "An operator ended something; the detail says what."),
    ("feed.promoted", "The feed began a new epoch, and all that was issued before ended."),
    ("guard.refused", "Somebody asked as a guard and could not prove it, or too often."),
    ("introspection.refused", "Somebody asked about a token and may not."),
    ("key.rotated", "A signing key was put in the place of another by hand."),
    ("keys.resealed", "Keys or sealed fields were sealed anew."),
    ("keys.taken_in", "Signing keys of the key directory came into the books."),
    ("keys.tended", "A signing key was published, took over or retired by plan."),
    ("login.ended", "A login ended before its time."),
    ("membership.withdrawn", "A review withdrew a place in an organization."),
    ("operator.account.refused", "A change of one's own account was refused: a wrong password or code."),
    ("operator.created", "There is a new operator."),
    ("operator.disabled", "An operator's account was closed."),
    ("operator.enabled", "An operator's account was opened again."),
    ("operator.enrolled", "An operator enrolled a second factor anew."),
    ("operator.invitation.refused", "An invitation was not accepted: a wrong password."),
    ("operator.invited", "Somebody was invited to be an operator, or to enrol anew."),
    ("operator.login", "An operator signed in."),
    ("operator.login.refused", "An operator's sign-in was refused."),
    ("operator.logout", "An operator signed out."),
    ("operator.password", "An operator changed their own password."),
    ("operator.recovery_codes", "An operator made new recovery codes."),
    ("operator.refused", "An operator asked for what their role may not."),
    ("operator.roles", "An operator's roles were changed."),
    ("operator.second_factor", "An operator put another second factor in the place of theirs."),
    ("operator.second_factor.reset", "An operator's second factor was taken away."),
    ("operator.session.elsewhere", "An operator's session was used from another address."),
    ("operator.session.ended", "An operator's session was ended by somebody else."),
    ("operator.uninvited", "An invitation was withdrawn."),
    ("person.created", "There is a new account."),
    ("person.deleted", "An account was deleted."),
    ("person.disabled", "An account was closed."),
    ("person.enabled", "An account was opened again."),
    ("person.erased", "What is personal about somebody was erased."),
    ("person.inactive.held", "An account is not used, and an organization cannot do without it."),
    ("person.inactive.warned", "An account will be closed because nobody uses it."),
    ("person.invitation.accepted", "Somebody invited opened their account by the link."),
    ("person.invitation.refused", "Somebody showed an invitation that is not open."),
    ("person.invited", "Somebody was invited to open their account by a link."),
    ("person.logins.ended", "All logins, sessions and tokens of a person ended."),
    ("person.offboarded", "Everything of a person ended, and the account was closed."),
    ("person.password", "An account has another password."),
    ("person.password.changed", "A person changed their own password."),
    ("person.password.chosen", "A person chose a password in the place of one that was set for them."),
    ("person.password.refused", "A change of a person's own password was refused."),
    ("person.second_factor.enrolled", "A person enrolled a second factor."),
    ("person.second_factor.refused", "A change of a person's second factor was refused."),
    ("person.second_factor.removed", "A person removed their second factor."),
    ("person.second_factor.reset", "An operator took a person's second factor away."),
    ("person.session.ended", "A browser session was ended by an operator."),
    ("person.uninvited", "An invitation of a person was withdrawn."),
    ("personal_data.read", "An operator saw what is personal; the detail says with which call."),
    ("proposal.approved", "A proposal was approved and carried out."),
    ("proposal.not_approved", "An approval was refused, and why."),
    ("proposal.opened", "Somebody proposed a privileged change."),
    ("proposal.refused", "A proposal was refused."),
    ("proposal.withdrawn", "A proposal was taken back."),
    ("registry.changed", "Something was changed over the Provisioning API; the detail has before and after."),
    ("registry.read", "A member saw what is personal about others; the detail says whom, and never what."),
    (
        "registry.refused",
        "Somebody asked the Provisioning API for what they may not, or with no sound token.",
    ),
    ("registry.seeded", "A seed file was put into the books."),
    ("retention.executed", "Rows whose time was over were deleted; the detail says how many of which table."),
    ("review.assigned", "An access review was given to an operator."),
    ("review.closed", "An access review was closed."),
    ("review.kept", "A line of an access review was signed to stay."),
    ("review.opened", "An access review was opened."),
    ("review.withdrawn", "A line of an access review was signed to end."),
    ("revocation.refused", "Somebody wanted to revoke a token and may not."),
    ("safety.lowered", "An organization asks less of those who come in, by two operators."),
    ("safety.raised", "An organization asks more of those who come in."),
    ("secret.created", "An application has one more secret."),
    ("secret.withdrawn", "A secret of an application was withdrawn."),
    (
        "settings.lowered",
        "The safety settings that protect less than their defaults are now those of the detail.",
    ),
    ("sign_in", "A person signed in at the page."),
    ("sign_in.refused", "A sign-in at the page was refused."),
    (
        "sign_in.second_factor",
        "A person showed a second factor, and has to choose a password before anything else.",
    ),
    ("sign_out", "A person signed out."),
    ("token.issued", "A token was issued."),
    ("token.refused", "A token was refused."),
    ("token.revoked", "A token was revoked."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_stands_once_and_in_order() {
        assert!(EVENTS.windows(2).all(|two| two[0].0 < two[1].0), "by name, each once");
        for (name, sentence) in EVENTS {
            assert!(sentence.ends_with('.') && !sentence.contains('|'), "{name}: {sentence}");
        }
    }
}
