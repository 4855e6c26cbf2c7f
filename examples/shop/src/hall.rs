//! The two resources of which a token stands for exactly one: its organization and its application. What
//! they say comes from the token itself.

use actix_web::HttpResponse;
use portcullis_guard::actix::Authenticated;
use portcullis_guard::{Action, Facts};
use serde_json::json;

use crate::document::{Resource, one};
use crate::wrong::Wrong;

/// `GET /api/organization`.
pub async fn organization(who: Authenticated) -> Result<HttpResponse, Wrong> {
    let organization = who.claims().organization.as_ref().ok_or(Wrong::NotFound)?;
    let facts = Facts::new().id(&organization.id).organization(&organization.id);
    who.permit("organization", Action::Read, &facts)?;
    Ok(one(&Resource {
        kind: "organization",
        id: &organization.id,
        attributes: json!({
            "slug": organization.slug,
            "region": organization.region,
            "enterprise": organization.enterprise,
        }),
        relationships: vec![],
    }))
}

/// `GET /api/application`.
pub async fn application(who: Authenticated) -> Result<HttpResponse, Wrong> {
    let application = &who.claims().application;
    who.permit("application", Action::Read, &Facts::new().id(&application.id))?;
    Ok(one(&Resource {
        kind: "application",
        id: &application.id,
        attributes: json!({
            "kind": application.kind,
            "public_access": application.public,
            "client_id": application.client_id,
        }),
        relationships: vec![],
    }))
}
