//! The grammar of scopes: `market:all`, `market:id:X`, `market:code:Y`, and the same for `store` and
//! `stock_location`; parts are separated by spaces or commas. What was asked is echoed verbatim, because
//! the vendor's client caches by it; what it means goes into the `market` claim.
//!
//! Beside where, a scope may say what: `can:read:orders` leaves of the roles what such parts name, and goes
//! into the `perm` claim. So a program gets a token for less than it could have by the means that RFC 6749
//! section 3.3 has for it, and whoever keeps or narrows a scope keeps and narrows this.

use std::collections::{BTreeSet, HashSet};

use portcullis_guard::claims::Market;
use portcullis_guard::policy::{Actions, Narrowing};
use serde_json::json;

use crate::refusal::{Code, Refusal};
use crate::registry::{Application, ApplicationKind, Directory, Fence, FenceKind};

/// The scope of every market of the organization.
pub const ALL: &str = "market:all";
/// The scope of personal credentials.
pub const PROVISIONING: &str = "provisioning-api";
/// Opens a part that says what may be done: `can:<action>:<subject>`.
const CAN: &str = "can:";

/// A scope and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// As it was asked.
    pub text: String,
    /// `None` for every market.
    pub market: Option<Market>,
    /// `None` for everything that the roles allow.
    pub can: Option<Narrowing>,
}

/// The parts of a scope text.
pub fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|part| !part.is_empty())
}

impl Reach {
    /// This reach, if it goes nowhere beyond another. Compared by what the texts mean, because a text with
    /// fewer parts may reach further: a stock location narrows the market that it stands beside.
    pub fn within(mut self, held: &Self) -> Option<Self> {
        let parts_of =
            |reach: &Self| -> BTreeSet<String> { places(&reach.text).map(str::to_owned).collect() };
        let same_places = parts_of(&self) == parts_of(held);
        let does_no_more = match (&self.can, &held.can) {
            (_, None) => true,
            (Some(asked), Some(held)) => asked.is_within(held),
            (None, Some(_)) => false,
        };
        let fits = match (&mut self.market, &held.market) {
            (_, None) if parts(&held.text).any(|part| part == ALL) => true,
            (Some(asked), Some(held)) => {
                // One market of several may allow what the several together did not.
                asked.allows_external_prices &= held.allows_external_prices;
                asked.id.iter().all(|id| held.id.contains(id))
                    && asked.stock_location_ids.iter().all(|id| held.stock_location_ids.contains(id))
            }
            // Every market, asked of what was everything to a person who is kept to some: those again.
            (None, Some(_)) if same_places => {
                self.market.clone_from(&held.market);
                true
            }
            (None, Some(_)) => false,
            _ => same_places,
        };
        (fits && does_no_more).then_some(self)
    }

    /// This reach without what the other does not have in markets that both name.
    pub fn in_common_with(mut self, other: &Self) -> Self {
        if let (Some(own), Some(other)) = (&mut self.market, &other.market) {
            own.id.retain(|id| other.id.contains(id));
            own.stock_location_ids.retain(|id| other.stock_location_ids.contains(id));
            own.allows_external_prices &= other.allows_external_prices;
        }
        self
    }

    /// This reach in these markets only, by id: what a membership's filter leaves of it.
    ///
    /// # Errors
    /// `invalid_scope` when nothing is left.
    pub fn inside(mut self, markets: &[String], fences: &[Fence]) -> Result<Self, Refusal> {
        let known = |fence: &&Fence| fence.kind == FenceKind::Market && markets.contains(&fence.id);
        let open: Vec<&Fence> = fences.iter().filter(known).collect();
        let stocked = |id: &String| open.iter().any(|market| market.stock_locations.contains(id));
        let market = match self.market.take() {
            Some(mut market) => {
                market.id.retain(|id| open.iter().any(|fence| fence.id == *id));
                market.stock_location_ids.retain(stocked);
                market
            }
            None => all_of(&open),
        };
        if market.id.is_empty() {
            return Err(refuse("The membership of this person reaches no market of the scope."));
        }
        self.market = Some(market);
        Ok(self)
    }
}

/// The parts that say where.
fn places(text: &str) -> impl Iterator<Item = &str> {
    parts(text).filter(|part| !part.starts_with(CAN))
}

/// Several markets in one, without what they do not share.
fn all_of(markets: &[&Fence]) -> Market {
    let mut stock: Vec<String> = markets.iter().flat_map(|market| market.stock_locations.clone()).collect();
    stock.sort();
    stock.dedup();
    let geocoder = markets.first().and_then(|first| first.geocoder_id.clone());
    Market {
        id: markets.iter().map(|market| market.id.clone()).collect(),
        stock_location_ids: stock,
        geocoder_id: geocoder.filter(|id| markets.iter().all(|it| it.geocoder_id.as_ref() == Some(id))),
        allows_external_prices: markets.iter().all(|market| market.allows_external_prices),
    }
}

/// What a scope means for this application, and whether it may have it.
///
/// `group` is the customer group of the person, for private markets.
///
/// # Errors
/// `invalid_scope` with what to ask for instead.
pub fn resolve(
    asked: Option<&str>,
    application: &Application,
    directory: &Directory,
    group: Option<&str>,
) -> Result<Reach, Refusal> {
    let text = match asked.filter(|text| parts(text).next().is_some()) {
        Some(text) => text.to_owned(),
        None => default_of(application),
    };
    // RFC 6749 section 3.3; refused here for every grant, or a login would begin that no refresh can read.
    if !text.bytes().all(|b| matches!(b, b' ' | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Err(refuse("The scope has a character that a scope cannot have; name the market by its id."));
    }
    if application.kind == ApplicationKind::User {
        return provisioning(text);
    }
    let can = narrowing(&text, application)?;
    let fences = directory.fences(&application.organization);
    let named = places(&text).map(|part| locate(part, fences)).collect::<Result<Vec<_>, _>>()?;
    if named.is_empty() {
        return Err(refuse(
            "A scope that says what may be done says where, too: name a market, or market:all.",
        ));
    }
    stay_inside(&named, application, fences)?;
    let mut market = enclose(&named, fences, group)?;
    if let Some(market) = &mut market {
        market.stock_location_ids.retain(|id| may_stock(id, &market.id, application, fences));
    }
    Ok(Reach { text, market, can })
}

/// What the parts `can:<action>:<subject>` leave of the roles; `None` when there are none. An application
/// whose own scopes say what it can do may ask for that and nothing beside it.
fn narrowing(text: &str, application: &Application) -> Result<Option<Narrowing>, Refusal> {
    let own = left_by(application.scopes.iter().map(String::as_str))?;
    let asked = left_by(parts(text))?;
    match (&asked, &own) {
        (Some(asked), Some(own)) if !asked.is_within(own) => Err(beyond()),
        (None, Some(_)) => Err(beyond()),
        _ => Ok(asked),
    }
}

fn left_by<'a>(parts: impl Iterator<Item = &'a str>) -> Result<Option<Narrowing>, Refusal> {
    let mut left = None;
    for part in parts.filter_map(|part| part.strip_prefix(CAN)) {
        let (word, subject) = part.split_once(':').ok_or_else(cannot)?;
        // The words are those of a policy, so a policy's reader reads them.
        let actions: Actions = serde_json::from_value(json!([word])).map_err(|_| cannot())?;
        let narrowing: &mut Narrowing = left.get_or_insert_default();
        narrowing.leave(subject, actions).map_err(|_| cannot())?;
    }
    Ok(left)
}

fn default_of(application: &Application) -> String {
    match application.kind {
        ApplicationKind::User => PROVISIONING.into(),
        _ if application.scopes.is_empty() => ALL.into(),
        _ => application.scopes.join(" "),
    }
}

fn provisioning(text: String) -> Result<Reach, Refusal> {
    if parts(&text).all(|part| part == PROVISIONING) {
        return Ok(Reach { text, market: None, can: None });
    }
    Err(refuse("A personal credential has the scope provisioning-api and no other."))
}

/// One part: everything, or a fence of the organization.
fn locate<'a>(part: &str, fences: &'a [Fence]) -> Result<Option<&'a Fence>, Refusal> {
    if part == ALL {
        return Ok(None);
    }
    let mut words = part.splitn(3, ':');
    let kind = match words.next() {
        Some("market") => FenceKind::Market,
        Some("store") => FenceKind::Store,
        Some("stock_location") => FenceKind::StockLocation,
        _ => return Err(grammar()),
    };
    let by_id = match words.next() {
        Some("id") => true,
        Some("code") => false,
        _ => return Err(grammar()),
    };
    let name = words.next().filter(|name| !name.is_empty()).ok_or_else(grammar)?;
    fences
        .iter()
        .find(|fence| fence.kind == kind && name == if by_id { &fence.id } else { &fence.code })
        .map(Some)
        .ok_or_else(|| {
            refuse(
                "A market, store or stock location in the scope does not exist in this organization; check its id or code.",
            )
        })
}

/// An application with scopes of its own may ask for those and nothing beside them.
fn stay_inside(named: &[Option<&Fence>], application: &Application, fences: &[Fence]) -> Result<(), Refusal> {
    let allowed: Vec<_> = application.scopes.iter().filter_map(|part| locate(part, fences).ok()).collect();
    let free = application.scopes.is_empty() || allowed.contains(&None);
    if free || named.iter().all(|part| allowed.contains(part)) {
        return Ok(());
    }
    Err(beyond())
}

fn beyond() -> Refusal {
    refuse("The application may not ask for this scope; leave scope out to get all that it may have.")
}

fn cannot() -> Refusal {
    refuse(
        "What a token can do is can:ACTION:SUBJECT, as in can:read:orders; at most 32 subjects fit into one.",
    )
}

/// Where an application's own scopes name stock locations of a market, leaving them out of a request reaches
/// no other ones there.
fn may_stock(id: &str, markets: &[String], application: &Application, fences: &[Fence]) -> bool {
    let own = application.scopes.iter().filter_map(|part| locate(part, fences).ok()?);
    let own: Vec<&str> = own.filter(|f| f.kind == FenceKind::StockLocation).map(|f| f.id.as_str()).collect();
    let through = |market: &&Fence| {
        let stocked = &market.stock_locations;
        stocked.iter().any(|held| held == id) && !stocked.iter().any(|held| own.contains(&held.as_str()))
    };
    let open = application.scopes.iter().any(|part| part == ALL);
    let mut asked = fences.iter().filter(|f| f.kind == FenceKind::Market && markets.contains(&f.id));
    open || own.contains(&id) || asked.any(|market| through(&market))
}

fn enclose(
    named: &[Option<&Fence>],
    fences: &[Fence],
    group: Option<&str>,
) -> Result<Option<Market>, Refusal> {
    let of = |kind| named.iter().flatten().filter(move |fence| fence.kind == kind);
    let mut markets: Vec<&Fence> = of(FenceKind::Market).copied().collect();
    for store in of(FenceKind::Store) {
        let market = store.market.as_deref();
        let found = fences.iter().find(|f| f.kind == FenceKind::Market && Some(f.id.as_str()) == market);
        // No market at all would mean every market.
        markets
            .push(found.ok_or_else(|| refuse("A store in the scope has no market; name a market instead."))?);
    }
    let locations: Vec<&Fence> = of(FenceKind::StockLocation).copied().collect();
    let Some(first) = markets.first().copied() else {
        if !locations.is_empty() {
            return Err(refuse("A stock location needs its market in the same scope."));
        }
        return Ok(None);
    };
    for market in &markets {
        if market.customer_group.is_some() && market.customer_group.as_deref() != group {
            return Err(refuse("A market in the scope is private: only customers of its group may have it."));
        }
        if market.price_list != first.price_list || market.geocoder_id != first.geocoder_id {
            return Err(refuse("Markets in one scope must share their price list and geocoder."));
        }
    }
    if locations.iter().any(|l| !markets.iter().any(|m| m.stock_locations.contains(&l.id))) {
        return Err(refuse("A stock location needs its market in the same scope."));
    }
    let mut stock: Vec<String> = match locations.is_empty() {
        true => markets.iter().flat_map(|market| market.stock_locations.iter().cloned()).collect(),
        false => locations.iter().map(|location| location.id.clone()).collect(),
    };
    stock.sort();
    stock.dedup();
    let mut ids: Vec<String> = markets.iter().map(|market| market.id.clone()).collect();
    let mut known = HashSet::new();
    ids.retain(|id| known.insert(id.clone()));
    Ok(Some(Market {
        id: ids,
        stock_location_ids: stock,
        geocoder_id: first.geocoder_id.clone(),
        allows_external_prices: markets.iter().all(|market| market.allows_external_prices),
    }))
}

fn grammar() -> Refusal {
    refuse(
        "A scope is market:all, or parts like market:code:CODE and stock_location:id:ID, separated by spaces; beside \
         them can:ACTION:SUBJECT asks for less.",
    )
}

fn refuse(sentence: &'static str) -> Refusal {
    Refusal::new(Code::InvalidScope, sentence)
}
