//! A decided change on its way into the books: tried out, checked, traced old against new, and committed.
//! When somebody else was faster, it is decided again on what is there then.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::change::{Amendment, CHANGED, Change, Trace};
use super::estate::Estate;
use super::office::{Bearer, Office, REFUSED};
use super::resource::Resource;
use super::{Declined, Kind, duties, memberships, personal, shares, user};
use crate::ask::Origin;
use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord, Deed, Done};
use crate::refusal::Trouble;

/// How often others may be faster before we say that we are busy.
const ATTEMPTS: usize = 8;

/// What shall be done.
#[derive(Debug)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// The thing that it is about.
    pub kind: Kind,
    pub id: String,
    /// Shown in the answer and nowhere else: a secret that was just made.
    pub once: Map<String, Value>,
}

impl Plan {
    pub fn new(kind: Kind, id: impl Into<String>, changes: Vec<Change>) -> Self {
        Self { changes, kind, id: id.into(), once: Map::new() }
    }

    /// The same, with something to show once.
    pub fn showing(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.once.insert(name.into(), value.into());
        self
    }
}

/// What came of it.
pub struct Outcome {
    /// The thing as it is now; `None` when it is gone.
    pub thing: Option<Resource>,
    /// What is shown once; it is among the thing's attributes too.
    pub once: Map<String, Value>,
    /// Everything as it is now.
    pub estate: Estate,
}

/// Decides and does, each time from the beginning.
///
/// # Errors
/// What `decide` said, a broken duty, or trouble; then nothing is done. That somebody may not is noted.
pub async fn enact<'a>(
    desk: &'a Desk,
    bearer: &'a Bearer,
    origin: &Origin,
    decide: impl AsyncFn() -> Result<(Office<'a>, Plan), Declined>,
) -> Result<Outcome, Declined> {
    for _ in 0..ATTEMPTS {
        let decided = decide().await;
        let tried = decided.and_then(|(office, mut plan)| {
            let after = try_out(&office, &mut plan)?;
            Ok((office, plan, after))
        });
        let (office, plan, after) = match tried {
            Ok(tried) => tried,
            Err(declined) => return Err(note(desk, bearer, origin, declined).await?),
        };
        if plan.changes.is_empty() || commit(&office, &plan, &after, origin).await? {
            let mut thing = after.find(plan.kind, &plan.id);
            if let Some(thing) = &mut thing {
                thing.attributes.extend(plan.once.clone());
            }
            return Ok(Outcome { thing, once: plan.once, estate: after });
        }
    }
    Err(Trouble::new("registry", "it kept changing").into())
}

/// The estate after the plan, with what follows from it; the plan is given that too.
fn try_out(office: &Office<'_>, plan: &mut Plan) -> Result<Estate, Declined> {
    let mut after = office.estate.with(&plan.changes);
    let follows = shares::follow(office, &after);
    follows.iter().for_each(|change| after.apply(change));
    plan.changes.extend(follows);
    duties::are_separate(&office.estate, &after)?;
    duties::are_granted(&office.estate, &after, &office.bearer.person.id)?;
    duties::are_not_ones_own(&office.estate, &after, &office.bearer.person.id)?;
    personal::takes_two(&office.estate, &after)?;
    Ok(after)
}

/// False when somebody else was faster.
async fn commit(office: &Office<'_>, plan: &Plan, after: &Estate, origin: &Origin) -> Result<bool, Declined> {
    let expected = office.estate.version;
    let act = Act::Amend(Amendment { expected, changes: plan.changes.clone() });
    let mut audit = traces(office, &plan.changes, after, origin)?;
    if audit.is_empty() {
        audit.extend(unseen(office, plan, after, origin)?);
    }
    match office.desk.ledger.commit(Deed { act, audit }).await? {
        Done::Committed { .. } => Ok(true),
        Done::Lost => Ok(false),
        Done::Spent { .. } => Err(Trouble::new("ledger", "a change was answered as spent").into()),
    }
}

/// An audit record for each thing that is not what it was.
fn traces(
    office: &Office<'_>,
    changes: &[Change],
    after: &Estate,
    origin: &Origin,
) -> Result<Vec<AuditRecord>, Trouble> {
    let seen = traced(&office.estate, changes, after, &who(office));
    seen.into_iter().map(|one| told(office, origin, one)).collect()
}

/// Each thing that is not what it was, whether it was meant or followed, with its organization's id.
pub(crate) fn traced(
    before: &Estate,
    changes: &[Change],
    after: &Estate,
    who: &Value,
) -> Vec<(String, Trace)> {
    let mut traces = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| changes.iter().any(|it| touches(it, *kind))) {
        let (old, new) = (before.all(kind), after.all(kind));
        let by_id = |list: &[Resource]| -> HashMap<String, usize> {
            list.iter().enumerate().map(|(at, one)| (one.id.clone(), at)).collect()
        };
        let (in_old, in_new) = (by_id(&old), by_id(&new));
        let gone = old.iter().filter(|was| !in_new.contains_key(&was.id)).map(|was| (Some(was), None));
        let pairs = gone.chain(new.iter().map(|is| (in_old.get(&is.id).map(|at| &old[*at]), Some(is))));
        traces.extend(pairs.filter_map(|(was, is)| trace(was, is, who)));
    }
    traces
}

/// Whether a change can be seen in things of a kind. An organization may have very many of some kinds, so
/// the others are not looked through.
fn touches(change: &Change, kind: Kind) -> bool {
    match change {
        Change::PutOrganization(_) => kind == Kind::Organization,
        Change::PutRole(_) | Change::DropRole { .. } => matches!(kind, Kind::Role | Kind::Permission),
        Change::PutApplication(_) | Change::DropApplication { .. } => kind == Kind::ApiCredential,
        // A membership shows the name of its person.
        Change::PutPerson(_) | Change::DropPerson { .. } => matches!(kind, Kind::User | Kind::Membership),
        Change::PutMembership(_) | Change::DropMembership { .. } => kind == Kind::Membership,
        Change::PutCard(card) => kind == card.kind,
        Change::DropCard { kind: of, .. } => kind == *of,
        Change::Raise { .. } | Change::EndLogins { .. } | Change::EndPerson { .. } => false,
    }
}

fn trace(was: Option<&Resource>, is: Option<&Resource>, who: &Value) -> Option<(String, Trace)> {
    let one = is.or(was)?;
    if one.kind == Kind::User && (was.is_none() || is.is_none()) {
        return None; // people come into view and leave it; nobody is made or deleted here
    }
    let changes = Resource::differences(was, is);
    let event = match (was, is) {
        _ if changes.is_empty() => return None,
        (None, _) => "create",
        (_, None) => "destroy",
        _ => "update",
    };
    Some(written(one, (event, changes), who))
}

/// A change that does not show in the thing that it is about, such as another code or secret in the place of one:
/// its name, and neither of the two.
fn unseen(
    office: &Office<'_>,
    plan: &Plan,
    after: &Estate,
    origin: &Origin,
) -> Result<Option<AuditRecord>, Trouble> {
    let one = after.find(plan.kind, &plan.id).or_else(|| office.estate.find(plan.kind, &plan.id));
    let changes = plan.once.keys().map(|name| (name.clone(), json!([null, null]))).collect();
    one.map(|one| told(office, origin, written(&one, ("update", changes), &who(office)))).transpose()
}

fn written(one: &Resource, (event, changes): (&str, Map<String, Value>), who: &Value) -> (String, Trace) {
    let trace = Trace {
        resource_type: one.kind.word().into(),
        resource_id: one.id.clone(),
        event: event.into(),
        changes,
        who: who.clone(),
    };
    (one.organization.clone(), trace)
}

fn who(office: &Office<'_>) -> Value {
    let application = &office.bearer.claims.application;
    json!({
        "application": { "id": application.id, "kind": application.kind, "public": application.public },
        "user": { "id": office.bearer.person.id },
    })
}

fn told(
    office: &Office<'_>,
    origin: &Origin,
    (organization, trace): (String, Trace),
) -> Result<AuditRecord, Trouble> {
    let mut record = office.bearer.record(CHANGED, office.desk.now(), origin);
    record.organization = Some(organization).filter(|id| !id.is_empty());
    record.reason = Some(format!("{} {}", trace.resource_type, trace.event));
    record.detail = Some(serde_json::to_string(&trace).map_err(|e| Trouble::new("audit", e))?);
    Ok(record)
}

/// Notes that somebody tried what they may not, or was told whose an address is.
async fn note(
    desk: &Desk,
    bearer: &Bearer,
    origin: &Origin,
    declined: Declined,
) -> Result<Declined, Declined> {
    let why = match &declined {
        Declined::Forbidden(why) => why.clone().into_owned(),
        Declined::Invalid(objections) if objections.contains(&user::taken()) => {
            "asked for an address that is another person's".into()
        }
        Declined::Invalid(objections) if objections.contains(&memberships::taken()) => {
            "invited an address that has a place or an invitation already".into()
        }
        _ => return Ok(declined),
    };
    let record = AuditRecord { reason: Some(why), ..bearer.record(REFUSED, desk.now(), origin) };
    desk.ledger.commit(Deed::new(Act::Note, record)).await?;
    Ok(declined)
}
