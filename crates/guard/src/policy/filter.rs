//! What is left to ask of each resource in a collection, for a service to put into its query.

use super::Reason;
use super::restriction::{Clause, Restriction, customer, markets, stock_locations};
use crate::access::Access;

/// The residual of a permission over a collection: every role has a say ([`Filter::all`]), and each is
/// content with one of its fences. No roles left means that only the tenant matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter<'a> {
    organization: Option<&'a str>,
    all: Vec<Vec<Fence<'a>>>,
}

/// Conditions on one resource that must all hold; what is `None` or `false` is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fence<'a> {
    /// The resource belongs to this customer.
    pub owner: Option<&'a str>,
    /// The order that the resource hangs off belongs to this customer.
    pub order_owner: Option<&'a str>,
    /// The resource is in one of these markets.
    pub markets: Option<&'a [String]>,
    /// The resource is in the price list of one of these markets.
    pub price_lists_of: Option<&'a [String]>,
    /// The resource can be sold in one of these markets.
    pub sellable_in: Option<&'a [String]>,
    /// The resource is in one of these stock locations.
    pub stock_locations: Option<&'a [String]>,
    /// The resource is in the currency of the price list in scope.
    pub currency_in_scope: bool,
    /// The resource is enabled.
    pub enabled: bool,
    /// The resource has this id.
    pub id: Option<&'a str>,
    /// The resource is in one of these statuses.
    pub statuses: Option<Vec<String>>,
    /// The order that the resource hangs off is in one of these statuses.
    pub order_statuses: Option<Vec<String>>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(access: &'a Access) -> Self {
        let organization = access.claims().organization.as_ref().map(|organization| organization.id.as_str());
        Self { organization, all: Vec::new() }
    }

    /// Adds what one role asks: one of these fences. Those that no resource can pass are dropped.
    pub(super) fn add(
        &mut self,
        fences: impl Iterator<Item = Result<Fence<'a>, Reason>>,
    ) -> Result<(), Reason> {
        let mut any = Vec::new();
        let mut reason = Reason::NotGranted;
        for fence in fences {
            match fence {
                // An alternative without conditions makes the others of its role pointless.
                Ok(fence) if fence == Fence::default() => return Ok(()),
                Ok(fence) => any.push(fence),
                Err(why) => reason = why,
            }
        }
        if any.is_empty() {
            return Err(reason);
        }
        if !self.all.contains(&any) {
            self.all.push(any);
        }
        Ok(())
    }

    /// The tenant that every resource must belong to; `None` for a token without one, which may see no
    /// tenant's resources.
    pub fn organization(&self) -> Option<&'a str> {
        self.organization
    }

    /// For each role what it asks: a resource may be shown if it passes at least one fence of every role.
    pub fn all(&self) -> &[Vec<Fence<'a>>] {
        &self.all
    }

    /// The only customer whose resources may be shown, if some role insists on one.
    pub fn owner(&self) -> Option<&'a str> {
        self.sole().find_map(|fence| fence.owner.or(fence.order_owner))
    }

    /// The only markets whose resources may be shown, if some role insists on them.
    pub fn markets(&self) -> Option<&'a [String]> {
        self.sole().find_map(|fence| fence.markets)
    }

    /// The fences that stand alone, so that nothing passes without them.
    fn sole(&self) -> impl Iterator<Item = &Fence<'a>> {
        self.all.iter().filter_map(|any| if let [one] = any.as_slice() { Some(one) } else { None })
    }
}

impl<'a> Fence<'a> {
    /// What a clause asks of a resource, for this token; the reason if nothing can pass.
    pub(super) fn new(clause: &Clause, access: &'a Access) -> Result<Self, Reason> {
        let mut fence = Self::default();
        for restriction in &clause.restrictions {
            fence.narrow(restriction, clause, access)?;
        }
        Ok(fence)
    }

    fn narrow(&mut self, by: &Restriction, clause: &Clause, access: &'a Access) -> Result<(), Reason> {
        use Restriction::*;
        match by {
            SingleResourceOnly => {}
            MarketScope | OrderInMarketScope | ReachableShippingMethods => self.markets = fenced(access)?,
            MarketPriceList => self.price_lists_of = fenced(access)?,
            SellableInMarket => self.sellable_in = fenced(access)?,
            MarketScopeOrPriceListCurrency if access.claims().market.is_some() => {
                self.markets = fenced(access)?;
            }
            MarketScopeOrPriceListCurrency => self.currency_in_scope = true,
            MarketStockLocations if access.is_everywhere() => {}
            MarketStockLocations => {
                let own = Some(stock_locations(access)).filter(|own| !own.is_empty());
                self.stock_locations = Some(own.ok_or(Reason::OutsideStockLocations)?);
            }
            Enabled => self.enabled = true,
            Itself => {
                let own = clause.singleton.and_then(|singleton| singleton.id(access));
                self.id = Some(own.ok_or(Reason::NotItself)?);
            }
            OwnerIsTokenCustomer => self.owner = Some(customer(access).ok_or(Reason::NotOwner)?),
            OrderOwnerIsTokenCustomer
            | LineItemOrderOwnerIsTokenCustomer
            | ShipmentOrderOwnerIsTokenCustomer => {
                self.order_owner = Some(customer(access).ok_or(Reason::NotOwner)?);
            }
            StatusIn(set) => self.statuses = Some(both(self.statuses.take(), set)?),
            OrderStatusIn(set) => self.order_statuses = Some(both(self.order_statuses.take(), set)?),
        }
        Ok(())
    }
}

/// The markets that fence a token: none for a token that is everywhere, and a refusal for one that is
/// nowhere.
fn fenced(access: &Access) -> Result<Option<&[String]>, Reason> {
    match markets(access) {
        _ if access.is_everywhere() => Ok(None),
        [] => Err(Reason::OutsideMarkets),
        some => Ok(Some(some)),
    }
}

/// The statuses that both sets hold.
fn both(one: Option<Vec<String>>, other: &[String]) -> Result<Vec<String>, Reason> {
    let shared: Vec<_> = match one {
        None => other.to_vec(),
        Some(one) => one.into_iter().filter(|status| other.contains(status)).collect(),
    };
    if shared.is_empty() { Err(Reason::WrongStatus) } else { Ok(shared) }
}
