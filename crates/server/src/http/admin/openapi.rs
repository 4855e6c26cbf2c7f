//! The OpenAPI document (3.1), made from the same table that the door is made from, with the schemas of the
//! types that handlers really read and write.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::route::{Answer, Method, Reply, Route};
use super::{BASE, every_route};
use crate::http::reply;

pub const ROUTES: &[Route] =
    &[Route::open(Method::Get, "/openapi.json", "This document.", |call| Box::pin(answer(call)))
        .answers(|_| schemars::json_schema!({ "type": "object" }))];

async fn answer(_: Call) -> Answer {
    Ok(Reply::Json(document()))
}

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in every_route() {
        let path = format!("{BASE}{}", route.path);
        paths.entry(path).or_insert_with(|| json!({}))[route.method.as_str().to_lowercase()] =
            operation(route, &mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".into(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis, the operators' API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Served on a listener of its own. Times are seconds since the epoch. Every refusal is a problem (RFC 9457) whose detail says what to do.",
        },
        "security": [{ "operator": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "operator": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of an operator's session, from POST /admin/v1/sessions.",
                },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = parts(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if let Some(query) = route.query {
        parameters.extend(members(query, generator));
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "responses": responses(route, generator),
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = route.body {
        let schema = body(generator);
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    match route.roles {
        [] => operation["security"] = json!([]),
        roles => operation["x-roles"] = roles.iter().map(|role| role.as_str()).collect(),
    }
    operation
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let status = reply::admin::status(route.success);
    let mut done = json!({ "description": status.canonical_reason().unwrap_or_default() });
    if let Some(answer) = route.answer {
        let schema = answer(generator);
        done["content"] = json!({ "application/json": { "schema": schema } });
    }
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    json!({
        status.as_str(): done,
        "default": {
            "description": "Not done, and why.",
            "content": { "application/problem+json": { "schema": problem } },
        },
    })
}

/// The names in braces.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The members of a struct, as parameters of a query.
fn members(query: super::route::Shape, generator: &SchemaGenerator) -> Vec<Value> {
    let mut alone = generator.settings().clone().into_generator();
    let named = query(&mut alone).to_value();
    let known = alone.take_definitions(true);
    let meant = named.get("$ref").and_then(Value::as_str).and_then(|place| place.rsplit('/').next());
    let schema = meant.and_then(|name| known.get(name)).cloned().unwrap_or(named);
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let parameter = |(name, schema): (String, Value)| {
        let needed = required.contains(&Value::from(name.as_str()));
        json!({ "name": name, "in": "query", "required": needed, "schema": schema })
    };
    properties.into_iter().map(parameter).collect()
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '{', '}', '-', '.']).filter(|word| !word.is_empty());
    std::iter::once(route.method.as_str().to_lowercase())
        .chain(words.map(str::to_owned))
        .collect::<Vec<_>>()
        .join("_")
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": { "pointer": { "type": "string" }, "detail": { "type": "string" } },
                },
            },
        },
    })
}
