//! Where the goods are: for each organization a shelf of its own, found by the token's claim and by nothing
//! that a request says. Knows no HTTP and no permission.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use portcullis_guard::Claims;
use portcullis_guard::claims::OwnerKind;
use ring::rand::{SecureRandom, SystemRandom};

use crate::customers::Customer;
use crate::orders::Order;
use crate::skus::Sku;
use crate::stock::{Stock, StockedOrder};
use crate::wrong::Wrong;

/// As many of each kind are kept for one organization; memory is all there is.
const MOST: usize = 10_000;
/// Letters and length of an id, as Commerce Layer has them: 57 bits, which nobody guesses over a network.
const ALPHABET: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LENGTH: usize = 10;

/// The shelves of all organizations.
pub struct Shelves {
    stock: Stock,
    shelves: Mutex<HashMap<String, Shelf>>,
}

/// What one organization has.
#[derive(Default)]
pub struct Shelf {
    pub orders: Records<Order>,
    pub skus: Records<Sku>,
    pub customers: Records<Customer>,
    markets: BTreeSet<String>,
    last_number: u64,
}

impl Shelves {
    /// Empty shelves, to be filled from this stock as organizations are seen.
    pub fn new(stock: Stock) -> Self {
        Self { stock, shelves: Mutex::default() }
    }

    /// Works on the shelf of the token's organization; a token without one sees nothing.
    pub fn of<T>(
        &self,
        claims: &Claims,
        work: impl FnOnce(&mut Shelf) -> Result<T, Wrong>,
    ) -> Result<T, Wrong> {
        let organization = claims.organization.as_ref().ok_or(Wrong::NotFound)?;
        // A handler that panicked left at worst one record half done; the shop stays open.
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = match shelves.get_mut(&organization.id) {
            Some(shelf) => shelf,
            None => {
                let shelf = shelves.entry(organization.id.clone()).or_default();
                shelf.fill(&organization.id, &self.stock)?;
                shelf
            }
        };
        shelf.welcome(claims, &self.stock)?;
        work(shelf)
    }
}

impl Shelf {
    /// The number of the next order.
    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn fill(&mut self, organization: &str, stock: &Stock) -> Result<(), Wrong> {
        for sku in &stock.skus {
            self.skus.add(new_id()?, Sku::stocked(sku))?;
        }
        let Some(own) = stock.organizations.get(organization) else { return Ok(()) };
        for (id, email) in &own.customers {
            self.customers.add(id.clone(), Customer::new(Some(email)))?;
        }
        for (market, orders) in &own.markets {
            self.markets.insert(market.clone());
            orders.iter().try_for_each(|order| self.lay(order, market))?;
        }
        Ok(())
    }

    /// Makes sure that the markets and the customer of a token are known here.
    fn welcome(&mut self, claims: &Claims, stock: &Stock) -> Result<(), Wrong> {
        for market in claims.market.iter().flat_map(|market| &market.id) {
            if self.markets.len() < MOST && self.markets.insert(market.clone()) {
                stock.orders.iter().try_for_each(|order| self.lay(order, market))?;
            }
        }
        let customer = claims.owner.as_ref().filter(|owner| owner.kind == OwnerKind::Customer);
        match customer {
            Some(customer) if self.customers.get(&customer.id).is_none() => {
                self.customers.add(customer.id.clone(), Customer::new(None))
            }
            _ => Ok(()),
        }
    }

    fn lay(&mut self, order: &StockedOrder, market: &str) -> Result<(), Wrong> {
        let order = Order::stocked(order, market, self.next_number());
        self.orders.add(new_id()?, order)
    }
}

/// Records of one kind by their ids, in the order of their making.
pub struct Records<T> {
    by_id: BTreeMap<String, (u64, T)>,
    made: u64,
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), made: 0 }
    }
}

impl<T> Records<T> {
    pub fn get(&self, id: &str) -> Option<&T> {
        self.by_id.get(id).map(|(_, record)| record)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.by_id.get_mut(id).map(|(_, record)| record)
    }

    pub fn add(&mut self, id: String, record: T) -> Result<(), Wrong> {
        if self.by_id.len() >= MOST {
            return Err(Wrong::Invalid("This shop is full: it keeps 10000 of a kind."));
        }
        self.made += 1;
        self.by_id.insert(id, (self.made, record));
        Ok(())
    }

    pub fn remove(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.by_id.values().map(|(_, record)| record)
    }

    /// Those that pass, oldest first.
    pub fn select(&self, passes: impl Fn(&str, &T) -> bool) -> Vec<(&str, &T)> {
        let mut found: Vec<_> = self.by_id.iter().filter(|(id, (_, record))| passes(id, record)).collect();
        found.sort_by_key(|(_, (made, _))| *made);
        found.into_iter().map(|(id, (_, record))| (id.as_str(), record)).collect()
    }
}

/// An id that nobody guesses: a guest may show any order whose id he knows.
pub fn new_id() -> Result<String, Wrong> {
    let random = SystemRandom::new();
    let mut id = String::with_capacity(ID_LENGTH);
    let mut bytes = [0; 32];
    while id.len() < ID_LENGTH {
        random.fill(&mut bytes).map_err(|_| Wrong::Invalid("This machine has run out of chance."))?;
        // 208 is four times 52: what lies above would make some letters likelier than others.
        let letters = bytes.iter().filter(|byte| **byte < 208).map(|byte| ALPHABET[usize::from(byte % 52)]);
        id.extend(letters.take(ID_LENGTH - id.len()).map(char::from));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ten_letters_and_never_the_same() {
        let ids: BTreeSet<_> = (0..1000).map(|_| new_id().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 10 && id.bytes().all(|byte| byte.is_ascii_alphabetic())));
    }

    #[test]
    fn a_full_shelf_takes_no_more() {
        let mut records = Records::default();
        for number in 0..MOST {
            records.add(number.to_string(), ()).unwrap();
        }
        assert!(records.add("one more".into(), ()).is_err());
    }
}
