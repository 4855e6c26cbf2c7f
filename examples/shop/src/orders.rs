//! Orders: whose they are, where, and what happens to them. Permissions are asked of the guard with what is
//! known of the order; the rules of the trade (what can be placed, what a line costs) are here.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use portcullis_guard::actix::Authenticated;
use portcullis_guard::claims::OwnerKind;
use portcullis_guard::policy::{Fence, Filter};
use portcullis_guard::{Action, Facts};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::document::{self, Document, Paging, Resource};
use crate::shelf::{Shelf, Shelves, new_id};
use crate::stock::StockedOrder;
use crate::wrong::Wrong;

const KIND: &str = "orders";

/// An order.
#[derive(Clone, Debug)]
pub struct Order {
    number: u64,
    market: String,
    customer: Option<String>,
    status: Status,
    reference: Option<String>,
    lines: Vec<Line>,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Draft,
    Pending,
    Placed,
    Approved,
    Cancelled,
}

/// So many of something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub sku_code: String,
    pub quantity: u32,
}

/// What can be said of an order by whoever makes or changes it. Members that begin with `_` set something
/// in motion, as Commerce Layer has it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    reference: Option<String>,
    lines: Option<Vec<Line>>,
    _place: bool,
    _approve: bool,
    _cancel: bool,
}

/// `GET /api/orders`.
pub async fn list(
    who: Authenticated,
    shelves: Data<Shelves>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Wrong> {
    let filter = who.filter(KIND, Action::List)?;
    shelves.of(who.claims(), |shelf| {
        let orders = shelf.orders.select(|id, order| passes(&filter, id, order));
        Ok(document::page(&orders, &paging, |(id, order)| {
            document::listed(&order.resource(id, order.total(shelf)))
        }))
    })
}

/// `GET /api/orders/{id}`.
pub async fn show(
    who: Authenticated,
    shelves: Data<Shelves>,
    id: Path<String>,
) -> Result<HttpResponse, Wrong> {
    shelves.of(who.claims(), |shelf| {
        let order = shelf.orders.get(&id).ok_or(Wrong::NotFound)?;
        permit(&who, Action::Read, order)?;
        Ok(document::one(&order.resource(&id, order.total(shelf))))
    })
}

/// `POST /api/orders`.
pub async fn create(
    who: Authenticated,
    shelves: Data<Shelves>,
    sent: Document,
) -> Result<HttpResponse, Wrong> {
    let wish: Wish = sent.attributes(KIND)?;
    shelves.of(who.claims(), |shelf| {
        let mut order = Order {
            number: 0,
            market: market(&who, sent.related("market"))?,
            customer: customer(&who, shelf, sent.related("customer"))?,
            status: Status::Draft,
            reference: None,
            lines: vec![],
        };
        permit(&who, Action::Create, &order)?;
        order.fulfil(wish, shelf)?;
        order.number = shelf.next_number();
        let id = new_id()?;
        shelf.orders.add(id.clone(), order.clone())?;
        Ok(document::created(&order.resource(&id, order.total(shelf))))
    })
}

/// `PATCH /api/orders/{id}`.
pub async fn update(
    who: Authenticated,
    shelves: Data<Shelves>,
    id: Path<String>,
    sent: Document,
) -> Result<HttpResponse, Wrong> {
    shelves.of(who.claims(), |shelf| {
        let mut order = shelf.orders.get(&id).ok_or(Wrong::NotFound)?.clone();
        permit(&who, Action::Update, &order)?;
        order.fulfil(sent.attributes(KIND)?, shelf)?;
        let answer = document::one(&order.resource(&id, order.total(shelf)));
        if let Some(kept) = shelf.orders.get_mut(&id) {
            *kept = order;
        }
        Ok(answer)
    })
}

/// `DELETE /api/orders/{id}`.
pub async fn destroy(
    who: Authenticated,
    shelves: Data<Shelves>,
    id: Path<String>,
) -> Result<HttpResponse, Wrong> {
    shelves.of(who.claims(), |shelf| {
        let order = shelf.orders.get(&id).ok_or(Wrong::NotFound)?;
        permit(&who, Action::Destroy, order)?;
        shelf.orders.remove(&id);
        Ok(document::gone())
    })
}

impl Order {
    pub fn stocked(order: &StockedOrder, market: &str, number: u64) -> Self {
        Self {
            number,
            market: market.to_owned(),
            customer: order.customer.clone(),
            status: order.status,
            reference: Some(order.reference.clone()),
            lines: order.lines.clone(),
        }
    }

    /// Changes the order as wished, or not at all.
    fn fulfil(&mut self, wish: Wish, shelf: &Shelf) -> Result<(), Wrong> {
        if let Some(lines) = wish.lines {
            self.set_lines(lines, shelf)?;
        }
        if wish.reference.is_some() {
            self.reference = wish.reference;
        }
        for (wished, to) in [
            (wish._place, Status::Placed),
            (wish._approve, Status::Approved),
            (wish._cancel, Status::Cancelled),
        ] {
            if wished {
                self.advance(to)?;
            }
        }
        Ok(())
    }

    fn set_lines(&mut self, lines: Vec<Line>, shelf: &Shelf) -> Result<(), Wrong> {
        if !matches!(self.status, Status::Draft | Status::Pending) {
            return Err(Wrong::Invalid("The lines of an order are fixed once it is placed."));
        }
        if lines.len() > 100 || lines.iter().any(|line| !(1..=1000).contains(&line.quantity)) {
            return Err(Wrong::Invalid("An order has at most 100 lines of 1 to 1000 pieces."));
        }
        let sold_here = |line: &Line| {
            shelf.skus.values().any(|sku| sku.code() == line.sku_code && sku.sells_in(&self.market))
        };
        if !lines.iter().all(sold_here) {
            return Err(Wrong::Invalid("A SKU of these lines is not sold in the market of the order."));
        }
        self.lines = lines;
        Ok(())
    }

    fn advance(&mut self, to: Status) -> Result<(), Wrong> {
        use Status::{Approved, Cancelled, Draft, Pending, Placed};
        match (self.status, to) {
            (Draft | Pending, Placed) if self.lines.is_empty() => {
                return Err(Wrong::Invalid("An order without lines cannot be placed."));
            }
            (Draft | Pending, Placed) | (Placed, Approved) | (Draft | Pending | Placed, Cancelled) => {}
            _ => return Err(Wrong::Invalid("The status of the order does not allow this.")),
        }
        self.status = to;
        Ok(())
    }

    /// What the order costs, in cents; a SKU that is no longer sold counts nothing.
    fn total(&self, shelf: &Shelf) -> u64 {
        let price = |code: &str| shelf.skus.values().find(|sku| sku.code() == code).map(|sku| sku.amount());
        let cost = |line: &Line| price(&line.sku_code).unwrap_or(0) * u64::from(line.quantity);
        self.lines.iter().map(cost).sum()
    }

    fn resource<'a>(&'a self, id: &'a str, total: u64) -> Resource<'a> {
        let mut relationships = vec![("market", "markets", self.market.as_str())];
        relationships.extend(self.customer.as_deref().map(|id| ("customer", "customers", id)));
        let attributes = json!({
            "number": self.number,
            "status": self.status,
            "reference": self.reference,
            "lines": self.lines,
            "total_amount_cents": total,
        });
        Resource { kind: KIND, id, attributes, relationships }
    }
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Placed => "placed",
            Self::Approved => "approved",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Asks the guard about this very order, telling all that is known of it.
fn permit(who: &Authenticated, action: Action, order: &Order) -> Result<(), Wrong> {
    let mut facts = Facts::new().market(&order.market).status(order.status.word());
    if let Some(organization) = &who.claims().organization {
        facts = facts.organization(&organization.id);
    }
    if let Some(customer) = &order.customer {
        facts = facts.owner(customer);
    }
    Ok(who.permit(KIND, action, &facts)?)
}

/// Whether an order may stand in a list: one fence of every role lets it through.
fn passes(filter: &Filter<'_>, id: &str, order: &Order) -> bool {
    filter.all().iter().all(|any| any.iter().any(|fence| inside(fence, id, order)))
}

/// Whether an order is inside a fence. A condition that orders know nothing of keeps it out.
fn inside(fence: &Fence<'_>, id: &str, order: &Order) -> bool {
    let mut unknown = fence.clone();
    (unknown.id, unknown.owner, unknown.markets, unknown.statuses) = (None, None, None, None);
    unknown == Fence::default()
        && fence.id.is_none_or(|own| own == id)
        && fence.owner.is_none_or(|owner| order.customer.as_deref() == Some(owner))
        && fence.markets.is_none_or(|markets| markets.contains(&order.market))
        && fence.statuses.as_ref().is_none_or(|set| set.iter().any(|status| status == order.status.word()))
}

/// The market of a new order: one of the token's, or any for a token that is everywhere.
fn market(who: &Authenticated, wished: Option<&str>) -> Result<String, Wrong> {
    let own = who.claims().market.as_ref().map_or(&[][..], |market| &market.id);
    let market = match (wished, own) {
        (Some(wished), own) if who.is_everywhere() || own.iter().any(|own| own == wished) => wished,
        (None, [only]) => only,
        (Some(_), _) => return Err(Wrong::Invalid("The token is not for this market.")),
        (None, _) => return Err(Wrong::Invalid("An order needs a market, and the token does not name one.")),
    };
    Ok(market.to_owned())
}

/// The customer of a new order: the token's own. A token without one may name whomever it may see.
fn customer(who: &Authenticated, shelf: &Shelf, wished: Option<&str>) -> Result<Option<String>, Wrong> {
    let owner = who.claims().owner.as_ref().filter(|owner| owner.kind == OwnerKind::Customer);
    match (owner, wished) {
        (Some(own), None) => Ok(Some(own.id.clone())),
        (Some(own), Some(wished)) if own.id == wished => Ok(Some(own.id.clone())),
        (None, None) => Ok(None),
        (_, Some(wished)) => {
            who.permit("customers", Action::Read, &Facts::new().owner(wished))?;
            shelf.customers.get(wished).ok_or(Wrong::Invalid("There is no such customer."))?;
            Ok(Some(wished.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn draft(lines: Vec<Line>) -> Order {
        let (status, reference) = (Status::Draft, "r".to_owned());
        Order::stocked(&StockedOrder { status, reference, lines, customer: None }, "m", 1)
    }

    fn one_piece() -> Vec<Line> {
        vec![Line { sku_code: "A".into(), quantity: 1 }]
    }

    #[test]
    fn a_status_is_the_same_word_for_the_guard_and_on_the_wire() {
        use Status::{Approved, Cancelled, Draft, Pending, Placed};
        for status in [Draft, Pending, Placed, Approved, Cancelled] {
            assert_eq!(serde_json::to_value(status).unwrap(), Value::from(status.word()));
        }
    }

    #[test]
    fn an_order_goes_forward_and_never_back() {
        let mut order = draft(one_piece());
        assert!(order.advance(Status::Approved).is_err());
        order.advance(Status::Placed).unwrap();
        assert!(order.advance(Status::Placed).is_err());
        order.advance(Status::Approved).unwrap();
        assert!(order.advance(Status::Cancelled).is_err());
    }

    #[test]
    fn an_order_without_lines_is_not_placed() {
        assert!(draft(vec![]).advance(Status::Placed).is_err());
    }

    #[test]
    fn a_condition_that_orders_know_nothing_of_keeps_them_out() {
        let order = draft(one_piece());
        let mut fence = Fence::default();
        assert!(inside(&fence, "id", &order));
        fence.enabled = true;
        assert!(!inside(&fence, "id", &order));
    }
}
