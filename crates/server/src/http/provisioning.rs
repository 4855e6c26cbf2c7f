//! The reads of the provisioning API that the vendor's command line needs to log in: who am I, and which
//! roles are there. JSON:API, for the bearer of a personal credential.

use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::desk::Desk;
use portcullis_authority::refusal::{Code, Not, Refusal};
use portcullis_authority::registry::{Person, Role, RoleKind, Who};
use serde_json::{Value, json};

use super::heard::bearer;
use super::reply::{self, At, Denied};
use crate::house::House;

/// `GET /api/user`
pub async fn user(house: web::Data<House>, request: HttpRequest) -> Result<HttpResponse, Denied> {
    let person = bearer_of(house.authority.desk(), &request).await.map_err(Denied::at(At::Provisioning))?;
    Ok(reply::json_api(&json!({ "data": user_resource(&person, &house.settings.issuer) })))
}

/// `GET /api/roles`
pub async fn roles(house: web::Data<House>, request: HttpRequest) -> Result<HttpResponse, Denied> {
    let desk = house.authority.desk();
    let at = Denied::at(At::Provisioning);
    let person = bearer_of(desk, &request).await.map_err(&at)?;
    let places = desk.registry.memberships(&person.id).await.map_err(|trouble| at(trouble.into()))?;
    let directory = desk.registry.directory();
    let mut roles: Vec<_> = directory
        .roles()
        .filter(|role| places.iter().any(|place| place.active && place.organization == role.organization))
        .collect();
    roles.sort_by_key(|role| (&role.organization, &role.id));
    let listed: Vec<Value> = roles.iter().map(|role| role_resource(role, &house.settings.issuer)).collect();
    let meta = json!({ "record_count": listed.len(), "page_count": 1 });
    Ok(reply::json_api(&json!({ "data": listed, "meta": meta })))
}

/// The person behind a live personal token.
async fn bearer_of(desk: &Desk, request: &HttpRequest) -> Result<Person, Not> {
    let token = bearer(request)?;
    let claims = desk.inspector.inspect(token, desk.clock.now_ms())?.ok_or_else(dead)?;
    let user = claims.user.ok_or_else(|| {
        Refusal::new(Code::AccessDenied, "This needs the token of a personal (user) credential.")
    })?;
    let person = desk.registry.person(Who::Id(&user.id)).await?;
    Ok(person.filter(|person| !person.disabled).ok_or_else(dead)?)
}

fn dead() -> Refusal {
    Refusal::new(Code::InvalidToken, "The access token is not valid here, has expired or was ended.")
}

fn user_resource(person: &Person, issuer: &str) -> Value {
    json!({
        "id": person.id,
        "type": "user",
        "links": { "self": format!("{issuer}/api/user") },
        "attributes": {
            "email": person.email,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "time_zone": person.time_zone,
        },
    })
}

fn role_resource(role: &Role, issuer: &str) -> Value {
    let kind = match role.kind {
        RoleKind::Admin => "admin",
        RoleKind::ReadOnly => "read_only",
        RoleKind::Custom => "custom",
    };
    json!({
        "id": role.id,
        "type": "roles",
        "links": { "self": format!("{issuer}/api/roles") },
        "attributes": { "name": role.name, "kind": kind },
        "relationships": {
            "organization": { "data": { "type": "organizations", "id": role.organization } },
        },
    })
}
