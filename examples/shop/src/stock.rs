//! What the shelves of an organization hold when it is first seen: data to play with, read from a small
//! JSON file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::orders::{Line, Status};

const BUILT_IN: &str = include_str!("../stock.json");

/// What new shelves are filled with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stock {
    pub(crate) skus: Vec<StockedSku>,
    /// Put into every market of an organization when the market is first seen.
    pub(crate) orders: Vec<StockedOrder>,
    /// What the organization with this id has, instead of those orders.
    pub(crate) organizations: BTreeMap<String, Own>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Own {
    pub markets: BTreeMap<String, Vec<StockedOrder>>,
    /// E-mail addresses by the ids that tokens know the customers by.
    pub customers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StockedSku {
    pub code: String,
    pub name: String,
    pub currency_code: String,
    pub amount_cents: u32,
    /// Where it can be sold; everywhere when left out.
    #[serde(default)]
    pub markets: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StockedOrder {
    pub status: Status,
    pub reference: String,
    pub lines: Vec<Line>,
    #[serde(default)]
    pub customer: Option<String>,
}

impl Stock {
    /// A handful of everything.
    pub fn built_in() -> Self {
        Self::from_json(BUILT_IN).expect("stock.json is a stock: checked by the test below")
    }

    /// Reads a stock.
    ///
    /// # Errors
    /// Says what cannot be read.
    pub fn from_json(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|why| why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_stock_can_be_read_and_its_orders_name_its_skus() {
        let stock = Stock::built_in();
        let codes: Vec<_> = stock.skus.iter().map(|sku| sku.code.as_str()).collect();
        let own = stock.organizations.values().flat_map(|own| own.markets.values().flatten());
        for line in stock.orders.iter().chain(own).flat_map(|order| &order.lines) {
            assert!(codes.contains(&line.sku_code.as_str()), "{}", line.sku_code);
        }
    }

    #[test]
    fn a_misspelt_member_is_not_left_out() {
        assert!(Stock::from_json(r#"{"skues": []}"#).is_err());
    }
}
