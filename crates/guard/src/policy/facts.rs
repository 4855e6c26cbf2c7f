//! What a service knows of the resource that somebody wants to touch.

/// What the caller knows of one resource. What is left out counts as unknown, and a restriction that needs
/// it then refuses: nothing is assumed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) organization: Option<&'a str>,
    pub(super) market: Option<&'a str>,
    pub(super) price_list_of: Option<&'a str>,
    pub(super) sellable_in: Option<&'a str>,
    pub(super) stock_location: Option<&'a str>,
    pub(super) currency_in_scope: Option<bool>,
    pub(super) enabled: Option<bool>,
    pub(super) owner: Option<&'a str>,
    pub(super) order_owner: Option<&'a str>,
    pub(super) status: Option<&'a str>,
    pub(super) order_status: Option<&'a str>,
}

impl<'a> Facts<'a> {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The resource's own id; for `self`, the singletons that a token stands for.
    pub fn id(self, id: &'a str) -> Self {
        Self { id: Some(id), ..self }
    }

    /// The tenant that the resource belongs to. Give it whenever there is one: another tenant's token is
    /// refused whatever its role says.
    pub fn organization(self, id: &'a str) -> Self {
        Self { organization: Some(id), ..self }
    }

    /// The market that the resource belongs to: its own, else that of its order (`order_in_market_scope`),
    /// else that of its shipping method (`reachable_shipping_methods`).
    pub fn market(self, id: &'a str) -> Self {
        Self { market: Some(id), ..self }
    }

    /// The market whose price list the resource belongs to. Tokens name markets and not price lists, so
    /// the service that knows both says which market it is.
    pub fn price_list_of(self, market: &'a str) -> Self {
        Self { price_list_of: Some(market), ..self }
    }

    /// A market where the SKU can be sold: a price in its list, a stock item in its inventory model.
    pub fn sellable_in(self, market: &'a str) -> Self {
        Self { sellable_in: Some(market), ..self }
    }

    /// The stock location that the resource belongs to.
    pub fn stock_location(self, id: &'a str) -> Self {
        Self { stock_location: Some(id), ..self }
    }

    /// Whether the resource is in the currency of the price list in scope; asked for only when the token
    /// names no market.
    pub fn currency_in_scope(self, it_is: bool) -> Self {
        Self { currency_in_scope: Some(it_is), ..self }
    }

    /// Whether the resource is enabled.
    pub fn enabled(self, it_is: bool) -> Self {
        Self { enabled: Some(it_is), ..self }
    }

    /// The customer that the resource belongs to; for a customer, the customer's own id.
    pub fn owner(self, id: &'a str) -> Self {
        Self { owner: Some(id), ..self }
    }

    /// The customer of the order that the resource hangs off, through however many steps.
    pub fn order_owner(self, id: &'a str) -> Self {
        Self { order_owner: Some(id), ..self }
    }

    /// The resource's own status.
    pub fn status(self, status: &'a str) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The status of the order that the resource hangs off, through however many steps.
    pub fn order_status(self, status: &'a str) -> Self {
        Self { order_status: Some(status), ..self }
    }
}
