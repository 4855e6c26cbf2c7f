//! The closed vocabulary of restrictions, and when each holds. A new word is a new variant here, a line in
//! `holds` and a line in `Fence::narrow` (`filter.rs`); the compiler asks for both.

use serde::{Deserialize, Serialize};

use super::{Facts, Reason};
use crate::access::Access;
use crate::claims::OwnerKind;

/// A condition under which a permission is granted. On the wire a word, or an object with one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restriction {
    /// One at a time, by id: collections are not granted, whatever the actions say.
    SingleResourceOnly,
    /// In a market of the token ([`Facts::market`]).
    MarketScope,
    /// Of an order in a market of the token ([`Facts::market`], the order's).
    OrderInMarketScope,
    /// Of a shipping method that the token can reach ([`Facts::market`], the method's).
    ReachableShippingMethods,
    /// In the price list of a market of the token ([`Facts::price_list_of`]).
    MarketPriceList,
    /// In a stock location of the token ([`Facts::stock_location`]).
    MarketStockLocations,
    /// Can be sold in a market of the token ([`Facts::sellable_in`]).
    SellableInMarket,
    /// In a market of the token ([`Facts::market`]); for a token without one, in the currency of the price
    /// list in scope ([`Facts::currency_in_scope`]).
    MarketScopeOrPriceListCurrency,
    /// Not disabled ([`Facts::enabled`]).
    Enabled,
    /// The application, organization or user that the token stands for ([`Facts::id`]).
    #[serde(rename = "self")]
    Itself,
    /// The token's customer's ([`Facts::owner`]).
    OwnerIsTokenCustomer,
    /// Of an order of the token's customer ([`Facts::order_owner`]).
    OrderOwnerIsTokenCustomer,
    /// The same through a line item ([`Facts::order_owner`]).
    LineItemOrderOwnerIsTokenCustomer,
    /// The same through a shipment ([`Facts::order_owner`]).
    ShipmentOrderOwnerIsTokenCustomer,
    /// In one of these statuses ([`Facts::status`]).
    StatusIn(Vec<String>),
    /// Of an order in one of these statuses ([`Facts::order_status`]).
    OrderStatusIn(Vec<String>),
}

impl Restriction {
    /// Whether this can be meant on a subject.
    pub(super) fn check(&self, subject: &str) -> Result<(), &'static str> {
        match self {
            Self::Itself if Singleton::of(subject).is_none() => Err("self has no meaning here"),
            Self::StatusIn(set) | Self::OrderStatusIn(set) if set.is_empty() => Err("no status at all"),
            _ => Ok(()),
        }
    }

    /// Whether this holds for a resource of which these facts are known.
    fn holds(&self, of: &Asked<'_, '_>) -> Result<(), Reason> {
        let Asked { access, facts, .. } = of;
        match self {
            Self::SingleResourceOnly => Ok(()),
            Self::MarketScope | Self::OrderInMarketScope | Self::ReachableShippingMethods => {
                in_market(access, facts.market, "the market is not known")
            }
            Self::MarketPriceList => in_market(access, facts.price_list_of, "the price list is not known"),
            Self::SellableInMarket => in_market(access, facts.sellable_in, "where it sells is not known"),
            Self::MarketScopeOrPriceListCurrency if access.claims().market.is_some() => {
                in_market(access, facts.market, "the market is not known")
            }
            Self::MarketScopeOrPriceListCurrency => {
                let fits = known(facts.currency_in_scope, "the currency is not known")?;
                fits.then_some(()).ok_or(Reason::OutsideMarkets)
            }
            Self::MarketStockLocations => in_stock_location(access, facts.stock_location),
            Self::Enabled => {
                let enabled = known(facts.enabled, "whether it is enabled is not known")?;
                enabled.then_some(()).ok_or(Reason::Disabled)
            }
            Self::Itself => {
                let id = known(facts.id, "the id is not known")?;
                let own = of.singleton.and_then(|singleton| singleton.id(access));
                (own == Some(id)).then_some(()).ok_or(Reason::NotItself)
            }
            Self::OwnerIsTokenCustomer => owned(access, facts.owner, "the owner is not known"),
            Self::OrderOwnerIsTokenCustomer
            | Self::LineItemOrderOwnerIsTokenCustomer
            | Self::ShipmentOrderOwnerIsTokenCustomer => {
                owned(access, facts.order_owner, "the owner of the order is not known")
            }
            Self::StatusIn(set) => among(set, facts.status, "the status is not known"),
            Self::OrderStatusIn(set) => {
                among(set, facts.order_status, "the status of the order is not known")
            }
        }
    }
}

/// Restrictions that must all hold.
#[derive(Debug)]
pub(super) struct Clause {
    pub restrictions: Box<[Restriction]>,
    pub singleton: Option<Singleton>,
}

impl Clause {
    pub fn new(restrictions: &[Restriction], subject: &str) -> Self {
        Self { restrictions: restrictions.into(), singleton: Singleton::of(subject) }
    }

    pub fn holds(&self, access: &Access, facts: &Facts<'_>) -> Result<(), Reason> {
        let asked = Asked { access, facts, singleton: self.singleton };
        self.restrictions.iter().try_for_each(|restriction| restriction.holds(&asked))
    }
}

/// What a restriction looks at.
struct Asked<'a, 'f> {
    access: &'a Access,
    facts: &'a Facts<'f>,
    singleton: Option<Singleton>,
}

/// The things of which a token stands for exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Singleton {
    Application,
    Organization,
    User,
}

impl Singleton {
    fn of(subject: &str) -> Option<Self> {
        match subject {
            "application" => Some(Self::Application),
            "organization" => Some(Self::Organization),
            "user" => Some(Self::User),
            _ => None,
        }
    }

    /// The id of the one that the token stands for.
    pub fn id(self, access: &Access) -> Option<&str> {
        let claims = access.claims();
        match self {
            Self::Application => Some(&claims.application.id),
            Self::Organization => claims.organization.as_ref().map(|organization| organization.id.as_str()),
            Self::User => claims.user.as_ref().map(|user| user.id.as_str()),
        }
    }
}

/// The customer that the token stands for, if it is one.
pub(super) fn customer(access: &Access) -> Option<&str> {
    let owner = access.claims().owner.as_ref()?;
    (owner.kind == OwnerKind::Customer).then_some(&owner.id)
}

/// The markets of the token; empty for a token that names none.
pub(super) fn markets(access: &Access) -> &[String] {
    access.claims().market.as_ref().map_or(&[], |market| &market.id)
}

/// The stock locations of the token; empty for a token that names none.
pub(super) fn stock_locations(access: &Access) -> &[String] {
    access.claims().market.as_ref().map_or(&[], |market| &market.stock_location_ids)
}

fn known<T>(fact: Option<T>, missing: &'static str) -> Result<T, Reason> {
    fact.ok_or(Reason::AttributeMissing(missing))
}

fn in_market(access: &Access, market: Option<&str>, missing: &'static str) -> Result<(), Reason> {
    if access.is_everywhere() {
        return Ok(());
    }
    let market = known(market, missing)?;
    markets(access).iter().any(|own| own == market).then_some(()).ok_or(Reason::OutsideMarkets)
}

fn in_stock_location(access: &Access, location: Option<&str>) -> Result<(), Reason> {
    if access.is_everywhere() {
        return Ok(());
    }
    let location = known(location, "the stock location is not known")?;
    let inside = stock_locations(access).iter().any(|own| own == location);
    inside.then_some(()).ok_or(Reason::OutsideStockLocations)
}

fn owned(access: &Access, owner: Option<&str>, missing: &'static str) -> Result<(), Reason> {
    let owner = known(owner, missing)?;
    (customer(access) == Some(owner)).then_some(()).ok_or(Reason::NotOwner)
}

fn among(set: &[String], status: Option<&str>, missing: &'static str) -> Result<(), Reason> {
    let status = known(status, missing)?;
    set.iter().any(|one| one == status).then_some(()).ok_or(Reason::WrongStatus)
}
