//! The password grant (RFC 6749 section 4.3), legacy: only where an operator has allowed it for the
//! application, only for customers, only for sales channels. RFC 9700 section 2.4 asks not to use it.

use async_trait::async_trait;

use super::Grant;
use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::{Entitlement, Promise, Subject, Via, share};
use crate::ledger::Proved;
use crate::limits::{Account, Attempt};
use crate::refusal::{Code, Not, Refusal};
use crate::registry::{Application, ApplicationKind, Who};
use crate::scope;
use crate::secret::Secret;
use portcullis_guard::claims::OwnerKind;

pub struct Password;

#[async_trait]
impl Grant for Password {
    fn name(&self) -> &'static str {
        "password"
    }

    fn allows(&self, application: &Application) -> bool {
        application.kind == ApplicationKind::SalesChannel && application.password_grant
    }

    async fn decide(&self, desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Entitlement, Not> {
        let email = ask.need("username")?.trim().to_lowercase();
        let password = Secret::from(ask.need("password")?);
        let organization = &caller.application().organization;
        let account = Account::Customer { organization, email: &email };
        let attempt = Attempt::begin(desk, account, &ask.origin).await?;
        let who = Who::CustomerEmail { organization, email: &email };
        let Some((person, attempt)) = attempt.look(who, password).await? else {
            return Err(wrong().because("unknown account, disabled account or wrong password").into());
        };
        if desk.ledger.factor(&person.id).await?.is_some() {
            // In the same words, and it stays counted: the answer must not tell that the password is right.
            return Err(wrong()
                .because("the account has a second factor, which this grant cannot ask for")
                .into());
        }
        attempt.was_right().await;
        let reach = scope::resolve(
            ask.get("scope"),
            caller.application(),
            caller.directory(),
            person.customer_group.as_deref(),
        )?;
        let mut entitlement = Entitlement::of(caller, reach, self.name(), desk.now());
        entitlement.roles = vec!["sales_channel_customer".into()];
        entitlement.roles.extend(share(caller.directory(), caller.application()));
        entitlement.gv.0 = person.generation;
        entitlement.subject = Subject::Owner(OwnerKind::Customer, person.id);
        entitlement.proved = Some(Proved::Password);
        entitlement.promise = Promise::Login(Via::Plain);
        Ok(entitlement)
    }
}

fn wrong() -> Refusal {
    Refusal::new(Code::InvalidGrant, "The username or the password is wrong; try again.")
}
