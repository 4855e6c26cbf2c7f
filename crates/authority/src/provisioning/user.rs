//! The person behind the token, who may read and change nobody but that person.

use super::change::Change;
use super::draft::{Draft, Reader};
use super::memberships::is_same;
use super::office::Office;
use super::plan::Plan;
use super::{Declined, Kind, Objection};
use crate::registry::Who;

pub async fn update(office: &Office<'_>, draft: &Draft) -> Result<Plan, Declined> {
    // Read after the version that this is committed under: whoever was shown in may have another password by now.
    let found = office.desk.registry.person(Who::Id(&office.bearer.person.id)).await?;
    let mut it = found.ok_or(Declined::Missing)?;
    let mut card = office.card(Kind::User, &it.id, "");
    let mut reader = Reader::new(draft, false);
    reader.common(&mut card, office.now_ms);
    let email = reader.required("email");
    let (first, last) = (reader.optional("first_name"), reader.optional("last_name"));
    let zone = reader.required("time_zone");
    if email.as_ref().is_some_and(|email| !email.contains('@') || email.contains(char::is_whitespace)) {
        reader.object::<()>(Objection::attribute("email", "is not an e-mail address"));
    }
    reader.finish(&super::with_common(&["otp_required_for_login", "id"]))?;
    if let Some(email) = email.filter(|email| !is_same(email, &it.email)) {
        // Without a way to the new address there is nothing but the answer to say that it is somebody else's. So
        // it can be asked as seldom as an invitation, whichever way it is answered (docs/permissions.md).
        let desk = office.desk;
        desk.limits.invite(desk, &it.id).map_err(Declined::Unknown)?;
        if desk.registry.person(Who::UserEmail(&email)).await?.is_some() {
            return Err(taken().into());
        }
        it.email = email;
    }
    it.first_name = first.map_or(it.first_name, Option::unwrap_or_default);
    it.last_name = last.map_or(it.last_name, Option::unwrap_or_default);
    it.time_zone = zone.unwrap_or(it.time_zone);
    let id = it.id.clone();
    Ok(Plan::new(Kind::User, id, vec![Change::PutPerson(it), Change::PutCard(Box::new(card))]))
}

/// Another account has the address.
pub fn taken() -> Objection {
    Objection::attribute("email", "has already been taken")
}
