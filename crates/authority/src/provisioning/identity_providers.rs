//! Identity providers, as data: nobody signs in through one yet. They are the owner's to write, and need
//! the enterprise plan. The request names no organization, so it is that of the credential the token was
//! issued to.

use serde_json::{Value, json};

use super::card::time;
use super::change::Change;
use super::describe::PROVIDER_TEXTS;
use super::draft::{Draft, Reader};
use super::office::Office;
use super::plan::Plan;
use super::{Card, Declined, Kind, Objection};
use crate::secret::Secret;

const SHOWN: [&str; 5] = ["status", "txt_record", "disabled_at", "user", "id"];

pub fn create(office: &Office<'_>, draft: &Draft) -> Result<Plan, Declined> {
    let home = office.bearer.application.as_ref().map(|application| application.organization.clone());
    let home = home.ok_or(Declined::Missing)?;
    allowed(office, &home)?;
    let mut card = Card::new(Kind::IdentityProvider, &office.id(), &home, office.now_ms);
    let mut reader = Reader::new(draft, true);
    read(office, &mut reader, &mut card, true);
    reader.finish(&super::with_common(&SHOWN))?;
    card.more.insert("user".into(), office.bearer.person.id.clone().into());
    card.more.insert("txt_record".into(), format!("portcullis-verification={}", office.desk.token()).into());
    let id = card.id.clone();
    Ok(Plan::new(Kind::IdentityProvider, id, vec![Change::PutCard(Box::new(card))]))
}

pub fn update(office: &Office<'_>, id: &str, draft: &Draft) -> Result<Plan, Declined> {
    let mut card = office.estate.card(Kind::IdentityProvider, id).cloned().ok_or(Declined::Missing)?;
    allowed(office, &card.organization)?;
    let mut reader = Reader::new(draft, false);
    read(office, &mut reader, &mut card, false);
    reader.finish(&super::with_common(&SHOWN))?;
    Ok(Plan::new(Kind::IdentityProvider, id, vec![Change::PutCard(Box::new(card))]))
}

pub fn destroy(office: &Office<'_>, id: &str) -> Result<Plan, Declined> {
    let card = office.estate.card(Kind::IdentityProvider, id).ok_or(Declined::Missing)?;
    allowed(office, &card.organization)?;
    let drop = Change::DropCard { kind: Kind::IdentityProvider, id: id.into() };
    Ok(Plan::new(Kind::IdentityProvider, id, vec![drop]))
}

fn allowed(office: &Office<'_>, organization: &str) -> Result<(), Declined> {
    if !office.place(organization)?.owner {
        return Err(Declined::forbidden("Identity providers are written by the owner of the organization."));
    }
    office.enterprise(organization, "Identity providers")
}

fn read(office: &Office<'_>, reader: &mut Reader<'_>, card: &mut Card, creating: bool) {
    reader.common(card, office.now_ms);
    for name in PROVIDER_TEXTS {
        // All but the organization's name at the provider must be there.
        let given = match name {
            "organization" => reader.optional(name).map(|text| json!(text)),
            _ => reader.required(name).map(Value::from),
        };
        let Some(value) = given else { continue };
        let is_address = name == "issuer" || name.ends_with("_url");
        if is_address && !value.as_str().is_some_and(|text| text.starts_with("https://")) {
            reader.object::<()>(Objection::attribute(name, "must be an https address"));
        }
        card.more.insert(name.into(), value);
    }
    let secret =
        if creating { reader.required("client_secret") } else { reader.optional("client_secret").flatten() };
    if let Some(secret) = secret {
        let mut nonce = [0; 12];
        office.desk.dice.fill(&mut nonce);
        card.more.insert("secret".into(), office.desk.seal.seal_kept(nonce, &Secret::from(secret)).into());
    }
    if reader.flag("_disable") == Some(true) {
        card.more.insert("disabled_at".into(), time(office.now_ms));
    }
    if reader.flag("_enable") == Some(true) {
        card.more.remove("disabled_at");
    }
}
