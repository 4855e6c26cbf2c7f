//! Who the operators are. Owners make and change accounts; everybody who may come in may see them.

use portcullis_authority::operators::{self, Operator, OperatorRole, StaffBook as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Visit;
use super::route::{ANYBODY, Answer, Method, OWNING, Route, json, shape};

pub const ROUTES: &[Route] = &[
    Route::new(Method::Get, "/operators", ANYBODY, "Lists the operators.", |visit| Box::pin(list(visit)))
        .answers(shape::<OperatorList>),
    Route::new(
        Method::Put,
        "/operators/{operator}/roles",
        OWNING,
        "Gives an operator these roles and no others.",
        |visit| Box::pin(set_roles(visit)),
    )
    .takes(shape::<Roles>)
    .answers(shape::<Shown>),
    Route::new(
        Method::Post,
        "/operators/{operator}/disable",
        OWNING,
        "Closes an operator's account and ends its sessions.",
        |visit| Box::pin(set_disabled(visit, true)),
    )
    .answers(shape::<Shown>),
    Route::new(
        Method::Post,
        "/operators/{operator}/enable",
        OWNING,
        "Opens an operator's account again.",
        |visit| Box::pin(set_disabled(visit, false)),
    )
    .answers(shape::<Shown>),
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OperatorList")]
struct OperatorList {
    operators: Vec<Shown>,
}

/// An operator's account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OperatorAccount")]
struct Shown {
    id: String,
    email: String,
    #[schemars(with = "Vec<String>")]
    roles: Vec<OperatorRole>,
    disabled: bool,
    /// Made for a demonstration; refused in production.
    demo: bool,
    created_at: u64,
    /// Recovery codes that are left.
    recovery_codes: usize,
    /// The second factor was taken away; an invitation lets them in again.
    awaits_factor: bool,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "OperatorRoles")]
#[serde(deny_unknown_fields)]
struct Roles {
    /// Of operator, approver, auditor, owner.
    #[schemars(with = "Vec<String>")]
    roles: Vec<OperatorRole>,
}

impl From<Operator> for Shown {
    fn from(operator: Operator) -> Self {
        Self {
            id: operator.id,
            email: operator.email,
            roles: operator.roles,
            disabled: operator.disabled,
            demo: operator.demo,
            created_at: operator.created_at,
            recovery_codes: operator.recovery.len(),
            awaits_factor: operator.awaits_factor,
        }
    }
}

async fn list(visit: Visit) -> Answer {
    let staff = visit.store().staff().await?;
    json(&OperatorList { operators: staff.operators.into_iter().map(Shown::from).collect() })
}

async fn set_roles(visit: Visit) -> Answer {
    let wanted: Roles = visit.body()?;
    let (id, record) = (visit.part("operator"), visit.record(""));
    let after = operators::set_roles(visit.desk(), visit.store(), id, &wanted.roles, record).await?;
    json(&Shown::from(after))
}

async fn set_disabled(visit: Visit, disabled: bool) -> Answer {
    let (id, record) = (visit.part("operator"), visit.record(""));
    let after = operators::set_disabled(visit.desk(), visit.store(), id, disabled, record).await?;
    json(&Shown::from(after))
}
