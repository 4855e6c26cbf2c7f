//! The Provisioning API from the street: two organizations that must never see each other, and people with
//! every kind of role.

use actix_web::http::Method;

use super::*;

mod credentials;
mod memberships;
mod organizations;
mod personal;
mod questions;
mod roles;

/// Acme (enterprise): Ann owns it, Rob reads, Eve has a custom role, Dan is an admin. Globex: Gil owns it.
struct Town {
    house: web::Data<House>,
    books: Arc<Memory>,
}

const MEDIA: &str = "application/vnd.api+json";

impl Town {
    fn new() -> Self {
        let seal = Arc::new(Seal::new(&[7; 32]));
        let role = |org: &str, id: &str, kind: &str, permissions: Value| {
            json!({ "id": id, "organization": org,
            "name": id, "kind": kind, "permissions": permissions })
        };
        let own = json!([{ "subject": "roles", "actions": ["create", "read", "update"] },
            { "subject": "permissions", "actions": ["create", "read", "update"] },
            { "subject": "orders", "actions": ["read"], "when": ["market_scope"] }]);
        let people = ["ann", "rob", "eve", "dan", "gil", "zoe"];
        let mut applications = vec![
            application(&seal, "robot", "integration", json!({ "role": "packer", "organization": "acme" })),
            application(&seal, "globot", "integration", json!({ "role": "admin", "organization": "globex" })),
        ];
        for name in people {
            let home = if name == "gil" { "globex" } else { "acme" };
            let more = json!({ "user": name, "organization": home });
            applications.push(application(&seal, &format!("of-{name}"), "user", more));
        }
        let holdings: Holdings = serde_json::from_value(json!({
            "version": 1,
            "organizations": [
                { "id": "acme", "slug": "acme", "name": "Acme", "enterprise": true },
                { "id": "globex", "slug": "globex", "name": "Globex", "enterprise": true },
            ],
            "applications": applications,
            "roles": [
                role("acme", "admin", "admin", json!([])),
                role("acme", "read_only", "read_only", json!([])),
                role("acme", "clerk", "custom", own),
                role("acme", "packer", "custom", json!([{ "subject": "orders", "actions": ["read", "update"] }])),
                role("globex", "admin", "admin", json!([])),
                role("globex", "secret", "custom", json!([{ "subject": "skus", "actions": ["read"] }])),
            ],
            "guards": [], "fences": [], "generations": [],
        }))
        .unwrap();
        let person = |name: &&str| {
            let email = format!("{name}@example.com");
            serde_json::from_value(json!({ "id": name, "kind": "User", "email": email, "first_name": name }))
                .unwrap()
        };
        let place = |(org, name, role, owner): (&str, &str, &str, bool)| {
            serde_json::from_value(json!({ "id": format!("m-{name}"), "user": name, "organization": org,
                "role": role, "owner": owner }))
            .unwrap()
        };
        let places = [
            ("acme", "ann", "admin", true),
            ("acme", "dan", "admin", false),
            ("acme", "rob", "read_only", false),
            ("acme", "eve", "clerk", false),
            ("globex", "gil", "admin", true),
        ];
        let books = Arc::new(Memory::new(
            holdings,
            people.iter().map(person).collect(),
            places.into_iter().map(place).collect(),
        ));
        let (house, _) = house_over(settings(), NOW, (seal, books.clone()));
        Self { house, books }
    }

    async fn token(&self, client_id: &str) -> String {
        let answer = call(&self.house, ask_token(client_id)).await.json();
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// A request by somebody's personal token.
    async fn send(&self, who: &str, method: Method, path: &str, body: Option<Value>) -> Seen {
        let token = self.token(&format!("of-{who}")).await;
        let mut request = TestRequest::with_uri(&format!("/api/{path}")).method(method);
        request = request.insert_header((header::AUTHORIZATION, format!("Bearer {token}")));
        if let Some(body) = body {
            request = request.insert_header((header::CONTENT_TYPE, MEDIA)).set_payload(body.to_string());
        }
        call(&self.house, request).await
    }

    async fn get(&self, who: &str, path: &str) -> Seen {
        self.send(who, Method::GET, path, None).await
    }

    async fn post(&self, who: &str, kind: &str, attributes: Value, related: Value) -> Seen {
        self.send(who, Method::POST, kind, Some(draft(kind, attributes, related))).await
    }

    async fn patch(&self, who: &str, path: &str, attributes: Value, related: Value) -> Seen {
        let kind = path.split('/').next().unwrap();
        self.send(who, Method::PATCH, path, Some(draft(kind, attributes, related))).await
    }

    async fn delete(&self, who: &str, path: &str) -> Seen {
        self.send(who, Method::DELETE, path, None).await
    }

    async fn new_role(&self, name: &str) -> String {
        let seen = self
            .post("ann", "roles", json!({ "name": name }), json!({ "organization": "organizations acme" }))
            .await;
        assert_eq!(seen.status, 201, "{}", seen.body);
        seen.id()
    }

    fn generation(&self, client_id: &str) -> u32 {
        use portcullis_authority::registry::{Registry as _, Scope};
        self.books.directory().generation(Scope::Client, client_id)
    }
}

impl Seen {
    fn id(&self) -> String {
        self.json()["data"]["id"].as_str().expect("an id").to_owned()
    }

    fn ids(&self) -> Vec<String> {
        let json = self.json();
        let list = json["data"].as_array().unwrap_or_else(|| panic!("no list: {json}"));
        list.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    fn attribute(&self, name: &str) -> Value {
        self.json()["data"]["attributes"][name].clone()
    }

    fn pointer(&self) -> String {
        self.json()["errors"][0]["source"]["pointer"].as_str().unwrap_or_default().to_owned()
    }
}

/// `related` is `{"role": "roles acme.clerk"}`: type and id.
fn draft(kind: &str, attributes: Value, related: Value) -> Value {
    let mut relationships = json!({});
    for (name, to) in related.as_object().unwrap() {
        let one = |text: &str| {
            let (kind, id) = text.split_once(' ').unwrap();
            json!({ "type": kind, "id": id })
        };
        relationships[name] = match to {
            Value::Array(list) => {
                json!({ "data": list.iter().map(|it| one(it.as_str().unwrap())).collect::<Vec<_>>() })
            }
            to => json!({ "data": one(to.as_str().unwrap()) }),
        };
    }
    let kind = if kind == "user" { "users" } else { kind };
    json!({ "data": { "type": kind, "attributes": attributes, "relationships": relationships } })
}
