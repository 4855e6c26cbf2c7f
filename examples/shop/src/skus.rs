//! SKUs: what is sold, where, and for how much.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use portcullis_guard::actix::Authenticated;
use portcullis_guard::policy::{Fence, Filter};
use portcullis_guard::{Action, Facts};
use serde::Deserialize;
use serde_json::json;

use crate::document::{self, Document, Paging, Resource};
use crate::shelf::{Shelf, Shelves, new_id};
use crate::stock::StockedSku;
use crate::wrong::Wrong;

const KIND: &str = "skus";

/// Something that can be bought.
#[derive(Clone, Debug)]
pub struct Sku {
    code: String,
    name: String,
    currency: String,
    amount_cents: u32,
    /// Where it can be sold; `None` is everywhere.
    markets: Option<Vec<String>>,
}

/// What can be said of a SKU by whoever makes or changes it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    code: Option<String>,
    name: Option<String>,
    currency_code: Option<String>,
    amount_cents: Option<u32>,
    market_ids: Option<Vec<String>>,
}

/// `GET /api/skus`.
pub async fn list(
    who: Authenticated,
    shelves: Data<Shelves>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Wrong> {
    let filter = who.filter(KIND, Action::List)?;
    shelves.of(who.claims(), |shelf| {
        let skus = shelf.skus.select(|id, sku| passes(&filter, id, sku));
        Ok(document::page(&skus, &paging, |(id, sku)| document::listed(&sku.resource(id))))
    })
}

/// `GET /api/skus/{id}`.
pub async fn show(
    who: Authenticated,
    shelves: Data<Shelves>,
    id: Path<String>,
) -> Result<HttpResponse, Wrong> {
    shelves.of(who.claims(), |shelf| {
        let sku = shelf.skus.get(&id).ok_or(Wrong::NotFound)?;
        permit(&who, Action::Read, sku)?;
        Ok(document::one(&sku.resource(&id)))
    })
}

/// `POST /api/skus`.
pub async fn create(
    who: Authenticated,
    shelves: Data<Shelves>,
    sent: Document,
) -> Result<HttpResponse, Wrong> {
    let wish: Wish = sent.attributes(KIND)?;
    shelves.of(who.claims(), |shelf| {
        let mut sku = Sku {
            code: String::new(),
            name: String::new(),
            currency: "EUR".into(),
            amount_cents: 0,
            markets: wish.market_ids.clone(),
        };
        permit(&who, Action::Create, &sku)?;
        sku.fulfil(wish, shelf)?;
        let id = new_id()?;
        shelf.skus.add(id.clone(), sku.clone())?;
        Ok(document::created(&sku.resource(&id)))
    })
}

/// `PATCH /api/skus/{id}`.
pub async fn update(
    who: Authenticated,
    shelves: Data<Shelves>,
    id: Path<String>,
    sent: Document,
) -> Result<HttpResponse, Wrong> {
    shelves.of(who.claims(), |shelf| {
        let mut sku = shelf.skus.get(&id).ok_or(Wrong::NotFound)?.clone();
        permit(&who, Action::Update, &sku)?;
        sku.fulfil(sent.attributes(KIND)?, shelf)?;
        let answer = document::one(&sku.resource(&id));
        if let Some(kept) = shelf.skus.get_mut(&id) {
            *kept = sku;
        }
        Ok(answer)
    })
}

/// `DELETE /api/skus/{id}`.
pub async fn destroy(
    who: Authenticated,
    shelves: Data<Shelves>,
    id: Path<String>,
) -> Result<HttpResponse, Wrong> {
    shelves.of(who.claims(), |shelf| {
        permit(&who, Action::Destroy, shelf.skus.get(&id).ok_or(Wrong::NotFound)?)?;
        shelf.skus.remove(&id);
        Ok(document::gone())
    })
}

impl Sku {
    pub fn stocked(sku: &StockedSku) -> Self {
        Self {
            code: sku.code.clone(),
            name: sku.name.clone(),
            currency: sku.currency_code.clone(),
            amount_cents: sku.amount_cents,
            markets: sku.markets.clone(),
        }
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    /// The price of one, in cents.
    pub fn amount(&self) -> u64 {
        u64::from(self.amount_cents)
    }

    pub fn sells_in(&self, market: &str) -> bool {
        self.markets.as_ref().is_none_or(|markets| markets.iter().any(|own| own == market))
    }

    /// Changes the SKU as wished, or not at all.
    fn fulfil(&mut self, wish: Wish, shelf: &Shelf) -> Result<(), Wrong> {
        let code = wish.code.unwrap_or_else(|| self.code.clone());
        let name = wish.name.unwrap_or_else(|| self.name.clone());
        if code.is_empty() || name.is_empty() {
            return Err(Wrong::Invalid("A SKU needs a code and a name."));
        }
        if code != self.code && shelf.skus.values().any(|other| other.code == code) {
            return Err(Wrong::Invalid("The code has already been taken."));
        }
        (self.code, self.name) = (code, name);
        self.currency = wish.currency_code.unwrap_or_else(|| self.currency.clone());
        self.amount_cents = wish.amount_cents.unwrap_or(self.amount_cents);
        self.markets = wish.market_ids.or_else(|| self.markets.take());
        Ok(())
    }

    fn resource<'a>(&self, id: &'a str) -> Resource<'a> {
        let attributes = json!({
            "code": self.code,
            "name": self.name,
            "currency_code": self.currency,
            "amount_cents": self.amount_cents,
        });
        Resource { kind: KIND, id, attributes, relationships: vec![] }
    }
}

/// Asks the guard about this very SKU. Of the markets where it sells, one of the token's is named if there
/// is one, because the question is whether the caller could buy it.
fn permit(who: &Authenticated, action: Action, sku: &Sku) -> Result<(), Wrong> {
    let own = who.claims().market.as_ref().map_or(&[][..], |market| &market.id);
    let elsewhere = || sku.markets.as_ref().and_then(|markets| markets.first());
    let mut facts = Facts::new();
    if let Some(market) = own.iter().find(|market| sku.sells_in(market)).or_else(elsewhere) {
        facts = facts.sellable_in(market);
    }
    if let Some(organization) = &who.claims().organization {
        facts = facts.organization(&organization.id);
    }
    Ok(who.permit(KIND, action, &facts)?)
}

/// Whether a SKU may stand in a list: one fence of every role lets it through.
fn passes(filter: &Filter<'_>, id: &str, sku: &Sku) -> bool {
    filter.all().iter().all(|any| any.iter().any(|fence| inside(fence, id, sku)))
}

/// Whether a SKU is inside a fence. A condition that SKUs know nothing of keeps it out.
fn inside(fence: &Fence<'_>, id: &str, sku: &Sku) -> bool {
    let mut unknown = fence.clone();
    (unknown.id, unknown.sellable_in) = (None, None);
    let sells = |markets: &[String]| markets.iter().any(|market| sku.sells_in(market));
    unknown == Fence::default() && fence.id.is_none_or(|own| own == id) && fence.sellable_in.is_none_or(sells)
}
