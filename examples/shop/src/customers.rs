//! Customers: anybody may sign up, and then only the customer and whoever has a role for it sees the
//! details again. Passwords are the authorization server's business and never come here.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use portcullis_guard::actix::Authenticated;
use portcullis_guard::{Action, Facts};
use serde::Deserialize;
use serde_json::json;

use crate::document::{self, Document, Resource};
use crate::shelf::{Shelves, new_id};
use crate::wrong::Wrong;

const KIND: &str = "customers";

/// Somebody who buys. Known by id alone until there is an e-mail address.
#[derive(Clone, Debug)]
pub struct Customer {
    email: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    email: String,
}

/// `POST /api/customers`.
pub async fn create(
    who: Authenticated,
    shelves: Data<Shelves>,
    sent: Document,
) -> Result<HttpResponse, Wrong> {
    let wish: Wish = sent.attributes(KIND)?;
    let email = wish.email.trim();
    let looks_like_one = email.split_once('@').is_some_and(|(who, at)| !who.is_empty() && at.contains('.'));
    if !looks_like_one || email.len() > 254 {
        return Err(Wrong::Invalid("This is not an e-mail address."));
    }
    shelves.of(who.claims(), |shelf| {
        who.permit(KIND, Action::Create, &facts(&who))?;
        if shelf.customers.values().any(|other| other.is_called(email)) {
            return Err(Wrong::Invalid("The e-mail address has already been taken."));
        }
        let (id, customer) = (new_id()?, Customer::new(Some(email)));
        let answer = document::created(&customer.resource(&id));
        shelf.customers.add(id, customer)?;
        Ok(answer)
    })
}

/// `GET /api/customers/{id}`.
pub async fn show(
    who: Authenticated,
    shelves: Data<Shelves>,
    id: Path<String>,
) -> Result<HttpResponse, Wrong> {
    shelves.of(who.claims(), |shelf| {
        // Asked before the shelf is: whoever may not see a customer does not learn whether there is one.
        who.permit(KIND, Action::Read, &facts(&who).id(&id).owner(&id))?;
        let customer = shelf.customers.get(&id).ok_or(Wrong::NotFound)?;
        Ok(document::one(&customer.resource(&id)))
    })
}

impl Customer {
    pub fn new(email: Option<&str>) -> Self {
        Self { email: email.map(str::to_owned) }
    }

    fn is_called(&self, email: &str) -> bool {
        self.email.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(email))
    }

    fn resource<'a>(&self, id: &'a str) -> Resource<'a> {
        Resource { kind: KIND, id, attributes: json!({"email": self.email}), relationships: vec![] }
    }
}

fn facts(who: &Authenticated) -> Facts<'_> {
    match &who.claims().organization {
        Some(organization) => Facts::new().organization(&organization.id),
        None => Facts::new(),
    }
}
