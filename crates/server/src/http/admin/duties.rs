//! Separation of duties, route by route: everything that changes something either needs nobody else, with the reason
//! why, or goes through proposals. A route that stands in neither list fails here, so that nobody adds a privileged
//! change without having decided who must agree.

use std::collections::BTreeSet;

use portcullis_authority::proposals::ROSTER;

use super::every_route;
use super::route::Method;

/// What a call may come to, and the kinds of proposal of which it makes one.
const BY_TWO: &[(&str, &[&str])] = &[
    (
        "POST /proposals",
        &[
            "cut",
            "offboarding",
            "erasure",
            "key_rotation",
            "password",
            "operator_second_factor",
            "secret",
            "last_secret",
            "second_factor",
            "safety",
            "personal_data",
            "entrustment",
            "invitation",
        ],
    ),
    ("POST /cuts", &["cut"]),
    ("POST /offboardings", &["offboarding"]),
    ("POST /people/{person}/second-factor/reset", &["second_factor"]),
    // To turn something on is done at once; to turn it off is proposed.
    ("PATCH /organizations/{organization}/safety", &["safety"]),
];

/// What one person does, and why nobody else is needed.
const BY_ONE: &[(&str, &str)] = &[
    ("POST /cuts/preview", "It changes nothing."),
    ("POST /offboardings/preview", "It changes nothing."),
    ("POST /sessions", "It proves who somebody is, and opens no more than the account has."),
    ("DELETE /sessions/current", "Whoever came in may leave."),
    ("DELETE /sessions/{session}", "It only takes away; whoever it hits signs in again."),
    ("PUT /account/password", "It is one's own, and takes the present factor."),
    ("POST /account/second-factor/offer", "Nothing changes until it is confirmed."),
    ("PUT /account/second-factor", "It is one's own, and takes the present factor."),
    ("POST /account/recovery-codes", "They are one's own, and take the present factor."),
    (
        "PUT /operators/{operator}/roles",
        "An owner says who the operators are; whoever changed an account is no second person to it for a day.",
    ),
    ("POST /operators/{operator}/disable", "It only takes away, and an owner is left."),
    (
        "POST /operators/{operator}/enable",
        "It opens what was there, and whoever opened it is no second person to it for a day.",
    ),
    (
        "POST /invitations",
        "Whoever invited is no second person to the invited for a day, nor are two who were invited by one.",
    ),
    (
        "POST /operators/{operator}/invitation",
        "Two persons took the factor away before, and accepting takes the present password.",
    ),
    ("POST /invitations/open", "It shows the invitation to whoever has its code."),
    ("POST /invitations/accept", "The invited choose what only they know; who they are an owner has said."),
    ("DELETE /invitations/{invitation}", "It only takes away."),
    ("POST /people", "A new account has no place anywhere, so it may do nothing yet."),
    (
        "POST /people/invitations",
        "It opens an account on which nothing hangs; one with a place, a password or a credential is refused.",
    ),
    ("DELETE /people/invitations/{invitation}", "It only takes away."),
    ("POST /people/{person}/disable", "It only takes away, and orphans no organization."),
    ("POST /people/{person}/enable", "It opens what was there; what was given before has ended."),
    ("PUT /people/{person}/password", "Only of somebody without a place; for all others it is refused."),
    ("DELETE /people/{person}", "It only takes away, and orphans no organization."),
    ("DELETE /people/{person}/sessions", "It only takes away; the person signs in again."),
    ("DELETE /people/{person}/sessions/{session}", "It only takes away; the person signs in again."),
    ("DELETE /people/{person}/logins/{login}", "It only takes away; the person signs in again."),
    (
        "DELETE /applications/{client}/secrets/{secret}",
        "It only takes away; of the last live one it is refused.",
    ),
    ("POST /audit/destinations/{destination}/requeue", "It tells again what was not heard."),
    ("POST /proposals/{proposal}/approve", "It is the second person."),
    ("POST /proposals/{proposal}/refuse", "It is the second person, and nothing happens."),
    ("POST /proposals/{proposal}/withdraw", "Nothing happens."),
    ("POST /proposals/{proposal}/acknowledge", "It is the other person who looks at broken glass."),
    ("POST /reviews", "It takes a picture and changes nothing."),
    ("POST /reviews/{review}/assign", "It says who looks; nobody signs for their own access."),
    ("POST /reviews/{review}/rows/{row}/keep", "It changes nothing; nobody signs for their own access."),
    (
        "POST /reviews/{review}/rows/{row}/withdraw",
        "It only takes away, from somebody else, and orphans no organization.",
    ),
    ("POST /reviews/{review}/close", "It changes nothing but the review."),
];

#[test]
fn every_route_that_changes_something_says_who_must_agree() {
    let changing: BTreeSet<String> = every_route()
        .filter(|route| route.method != Method::Get)
        .map(|route| format!("{} {}", route.method.as_str(), route.path))
        .collect();
    let one = BY_ONE.iter().map(|(route, _)| *route);
    let decided: Vec<&str> = BY_TWO.iter().map(|(route, _)| *route).chain(one).collect();
    for route in &changing {
        assert!(
            decided.contains(&route.as_str()),
            "{route} is in neither list: may one operator do it alone?"
        );
    }
    assert_eq!(decided.len(), changing.len(), "a route is in both lists, or no longer in the table");
    for (route, why) in BY_ONE {
        assert!(why.ends_with('.') && why.contains(' '), "{route} says why in a sentence");
    }
}

#[test]
fn every_kind_of_proposal_is_made_somewhere() {
    let named: BTreeSet<&str> = BY_TWO.iter().flat_map(|(_, kinds)| kinds.iter().copied()).collect();
    let known: BTreeSet<&str> = ROSTER.iter().map(|executor| executor.kind()).collect();
    assert_eq!(named, known);
}
