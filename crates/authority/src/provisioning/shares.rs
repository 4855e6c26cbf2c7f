//! What application memberships and profiles mean for tokens: through which applications a member may act,
//! with which further role, in which markets and modes. It is worked out after every change, whichever it
//! was, and kept with the membership, where a grant reads it; so no way of changing a card can forget it.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::change::Change;
use super::estate::Estate;
use super::memberships::{end_of_logins, taken_up};
use super::office::Office;
use super::{Card, Kind, Objection};
use crate::registry::{Membership, Mode, Share};

/// The only filter there is: ids of markets, as a list.
const MARKETS: &str = "market_id_in";

/// The memberships that must change because what hangs off them has, and the end of the logins that were
/// had with what was there before.
pub fn follow(office: &Office<'_>, after: &Estate) -> Vec<Change> {
    let cards = Cards::of(after);
    let mut changes = Vec::new();
    for place in after.memberships.values() {
        let is = cards.narrowed(after, place);
        if is == *place {
            continue;
        }
        changes.push(Change::PutMembership(is));
        if office.estate.memberships.contains_key(&place.id) {
            changes.push(end_of_logins(office.desk, place, "the application memberships were changed"));
        }
    }
    changes
}

/// The markets of a filter; `None` for no filter.
///
/// # Errors
/// An objection to a filter that could not be kept: one that is not understood would narrow nothing.
pub fn markets(filters: &Map<String, Value>) -> Result<Option<Vec<String>>, Objection> {
    let wrong = |detail: &'static str| Objection::attribute("filters", detail);
    if filters.keys().any(|name| name != MARKETS) {
        return Err(wrong("can only hold market_id_in, a list of ids of markets"));
    }
    let Some(list) = filters.get(MARKETS) else { return Ok(None) };
    let list = list.as_array().filter(|list| list.len() <= 100);
    let ids = list.and_then(|list| list.iter().map(id_of).collect::<Option<Vec<_>>>());
    ids.map(Some).ok_or_else(|| wrong("market_id_in must be a list of at most 100 ids"))
}

/// The vendor's examples have numbers.
fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A membership with what the cards of its organization say now.
pub fn narrowed(estate: &Estate, place: &Membership) -> Membership {
    Cards::of(estate).narrowed(estate, place)
}

/// The end of a card with the place that it is of or hangs off. An application membership that hangs off a profile as
/// well stays the profile's, so that nobody else who has that is touched.
pub fn gone_with_place(card: &Card) -> Change {
    if card.kind != Kind::ApplicationMembership || card.text("membership_profile").is_none() {
        return Change::DropCard { kind: card.kind, id: card.id.clone() };
    }
    let mut card = card.clone();
    card.more.remove("membership");
    Change::PutCard(Box::new(card))
}

/// Every place that somebody has, and every one that somebody has been invited to, as it would be taken up; by its id.
pub fn places(estate: &Estate) -> BTreeMap<String, Membership> {
    let cards = Cards::of(estate);
    let mut all = estate.memberships.clone();
    for card in estate.cards_of(Kind::Membership) {
        all.entry(card.id.clone()).or_insert_with(|| {
            let (place, _) = taken_up(card.clone(), "", card.updated_at);
            cards.narrowed(estate, &place)
        });
    }
    all
}

/// Application memberships by what they hang off.
struct Cards<'a> {
    by_membership: HashMap<&'a str, Vec<&'a Card>>,
    by_profile: HashMap<&'a str, Vec<&'a Card>>,
}

impl<'a> Cards<'a> {
    fn of(estate: &'a Estate) -> Self {
        let mut all = Self { by_membership: HashMap::new(), by_profile: HashMap::new() };
        for card in estate.cards_of(Kind::ApplicationMembership) {
            if let Some(id) = card.text("membership") {
                all.by_membership.entry(id).or_default().push(card);
            }
            if let Some(id) = card.text("membership_profile") {
                all.by_profile.entry(id).or_default().push(card);
            }
        }
        all
    }

    /// The membership with what its cards say now. Once somebody is kept to some applications, deleting the
    /// last of them leaves none and not all; only an admin opens them again (`_all_applications`).
    fn narrowed(&self, estate: &Estate, place: &Membership) -> Membership {
        let card = estate.card(Kind::Membership, &place.id);
        let profile = card.and_then(|card| card.text("membership_profile"));
        let own = self.by_membership.get(place.id.as_str()).into_iter().flatten();
        let shared = profile.and_then(|id| self.by_profile.get(id)).into_iter().flatten();
        // One that hangs off both stands once.
        let mut cards: Vec<&Card> = own.chain(shared).copied().collect();
        cards.sort_by(|left, right| left.id.cmp(&right.id));
        cards.dedup_by(|left, right| left.id == right.id);
        let limited = profile.is_some() || !cards.is_empty() || place.applications.is_some();
        let profile = profile.and_then(|id| estate.card(Kind::MembershipProfile, id));
        Membership {
            applications: limited.then(|| cards.into_iter().filter_map(share_of).collect()),
            modes: modes(card, profile),
            ..place.clone()
        }
    }
}

/// A card without its application or its role shares nothing. A filter that cannot be read reaches no
/// market; none is written any more.
fn share_of(card: &Card) -> Option<Share> {
    let role = card.text("role")?.split_once('.')?.1.to_owned();
    let filters = card.more.get("filters").and_then(Value::as_object);
    let markets = filters.map_or(Ok(None), markets).unwrap_or_else(|_| Some(Vec::new()));
    Some(Share { application: card.text("api_credential")?.to_owned(), role, markets })
}

/// What both the membership and its profile leave.
fn modes(card: Option<&Card>, profile: Option<&Card>) -> Option<Vec<Mode>> {
    let words: Vec<&str> =
        [card, profile].into_iter().flatten().filter_map(|card| card.text("access_scope")).collect();
    let open = |refused: &str| !words.contains(&refused);
    match (open("test_access"), open("live_access")) {
        (true, true) => None,
        (live, test) => {
            let modes = [(live, Mode::Live), (test, Mode::Test)];
            Some(modes.into_iter().filter(|(open, _)| *open).map(|(_, mode)| mode).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn card(scope: &str) -> Card {
        let mut card = Card::new(Kind::Membership, "m", "o", 0);
        card.more.insert("access_scope".into(), scope.into());
        card
    }

    #[test]
    fn a_membership_and_its_profile_must_both_leave_a_mode() {
        let both = |one: &str, other: &str| modes(Some(&card(one)), Some(&card(other)));
        assert_eq!(modes(None, None), None);
        assert_eq!(both("all_access", "all_access"), None);
        assert_eq!(both("live_access", "all_access"), Some(vec![Mode::Live]));
        assert_eq!(both("all_access", "test_access"), Some(vec![Mode::Test]));
        assert_eq!(both("live_access", "test_access"), Some(vec![]));
    }

    #[test]
    fn what_a_profile_has_as_well_does_not_go_with_a_place() {
        let hung = |kind, names: &[&str]| {
            let mut card = Card::new(kind, "it", "o", 0);
            names.iter().for_each(|name| drop(card.more.insert((*name).to_owned(), "id".into())));
            card
        };
        let goes = |card: &Card| matches!(gone_with_place(card), Change::DropCard { .. });
        assert!(goes(&hung(Kind::ApplicationMembership, &["membership"])));
        assert!(goes(&hung(Kind::Membership, &["membership_profile"])), "the card of the place itself");
        let both = hung(Kind::ApplicationMembership, &["membership", "membership_profile"]);
        let Change::PutCard(left) = gone_with_place(&both) else { panic!("it is the profile's as well") };
        assert_eq!(*left, hung(Kind::ApplicationMembership, &["membership_profile"]));
    }

    #[test]
    fn a_filter_that_is_not_understood_is_refused() {
        let read = |filters: Value| markets(filters.as_object().unwrap());
        assert_eq!(read(json!({})), Ok(None));
        assert_eq!(read(json!({ "market_id_in": ["a", 1] })), Ok(Some(vec!["a".into(), "1".into()])));
        for bad in [
            json!({ "market_id_eq": "a" }),
            json!({ "market_id_in": "a" }),
            json!({ "market_id_in": [null] }),
            json!({ "market_id_in": ["a"], "status_in": [] }),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
