//! The Provisioning API from the street: two organizations that must never see each other, and people with
//! every kind of role.

use actix_web::http::Method;

use super::*;

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

#[actix_web::test]
async fn a_role_and_its_permissions_are_made_read_changed_and_deleted() {
    let town = Town::new();
    let role = town.new_role("Pickers").await;
    let related = json!({ "role": format!("roles {role}") });
    let given = json!({ "subject": "orders", "can_create": false, "can_read": true, "can_update": false, "can_destroy": false });
    let seen = town.post("ann", "permissions", given.clone(), related.clone()).await;
    assert_eq!((seen.status, seen.attribute("can_read")), (201, json!(true)), "{}", seen.body);
    assert_eq!(seen.header("content-type"), MEDIA);
    let permission = seen.id();
    assert_eq!(town.post("ann", "permissions", given, related).await.pointer(), "/data/attributes/subject");
    let seen = town
        .patch(
            "ann",
            &format!("permissions/{permission}"),
            json!({ "can_update": true, "can_read": false }),
            json!({}),
        )
        .await;
    assert_eq!((seen.attribute("can_update"), seen.attribute("can_read")), (json!(true), json!(false)));
    let seen = town
        .get("rob", &format!("roles/{role}?include=permissions,organization&fields[roles]=name,permissions"))
        .await;
    let body = seen.json();
    assert_eq!(body["data"]["attributes"], json!({ "name": "Pickers" }));
    assert_eq!(body["data"]["relationships"]["permissions"]["data"][0]["id"], permission.as_str());
    assert_eq!(body["included"].as_array().unwrap().len(), 2, "{body}");
    let seen = town
        .patch(
            "ann",
            &format!("roles/{role}"),
            json!({ "name": "Packers", "metadata": { "a": 1 } }),
            json!({}),
        )
        .await;
    assert_eq!((seen.attribute("name"), seen.attribute("metadata")), (json!("Packers"), json!({ "a": 1 })));
    assert_eq!(town.delete("ann", &format!("permissions/{permission}")).await.status, 204);
    assert_eq!(town.get("ann", &format!("permissions/{permission}")).await.status, 404);
    assert_eq!(town.delete("ann", &format!("roles/{role}")).await.status, 204);
    assert_eq!(town.get("ann", &format!("roles/{role}")).await.status, 404);
}

#[actix_web::test]
async fn a_role_that_is_deleted_takes_everything_that_used_it() {
    let town = Town::new();
    assert_eq!(town.delete("ann", "roles/acme.packer").await.status, 204);
    assert_eq!(town.generation("robot"), 1, "the tokens of the credential are dead");
    let seen = town.get("ann", "api_credentials/app-robot").await;
    assert_eq!(seen.attribute("disabled"), true);
    assert_eq!(call(&town.house, ask_token("robot")).await.status, 401);
    assert_eq!(town.delete("ann", "roles/acme.clerk").await.status, 204);
    assert_eq!(town.get("ann", "memberships/m-eve").await.status, 404);
    assert_eq!(town.get("eve", "roles").await.ids(), Vec::<String>::new());
    for built_in in ["admin", "read_only"] {
        assert_eq!(town.delete("ann", &format!("roles/acme.{built_in}")).await.status, 403);
    }
}

#[actix_web::test]
async fn a_secret_is_shown_once_and_rotates_with_an_overlap() {
    let town = Town::new();
    let related = json!({ "organization": "organizations acme", "role": "roles acme.packer" });
    let seen = town
        .post(
            "ann",
            "api_credentials",
            json!({ "name": "Till", "kind": "integration", "mode": "test" }),
            related,
        )
        .await;
    assert_eq!(seen.status, 201, "{}", seen.body);
    let (path, client_id) = (format!("api_credentials/{}", seen.id()), seen.attribute("client_id"));
    let first = seen.attribute("client_secret");
    let gets = async |secret: &Value| {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            client_id.as_str().unwrap(),
            secret.as_str().unwrap()
        );
        call(&town.house, post("/oauth/token", &form)).await.status
    };
    assert_eq!(gets(&first).await, 200);
    assert_eq!(town.get("ann", &path).await.attribute("client_secret"), Value::Null);
    let seen =
        town.patch("ann", &path, json!({ "_rotate_secret": true, "secret_overlap": 600 }), json!({})).await;
    let second = seen.attribute("client_secret");
    assert_eq!((gets(&first).await, gets(&second).await), (200, 200));
    let secrets = seen.attribute("secrets");
    assert_eq!(secrets[0]["expires_at"], "2027-01-15T08:10:00.000Z");
    let leaked = secrets[1]["id"].clone();
    assert_eq!(town.generation(client_id.as_str().unwrap()), 0, "a rotation ends no token");
    let seen = town.patch("ann", &path, json!({ "_withdraw_secret": leaked }), json!({})).await;
    assert_eq!((seen.status, gets(&first).await, gets(&second).await), (200, 200, 401));
    assert_eq!(town.generation(client_id.as_str().unwrap()), 1, "a withdrawal ends all tokens");
    assert!(!town.get("ann", "versions?page[size]=25").await.body.contains("pcs_"));
    assert_eq!(town.delete("ann", &path).await.status, 204);
    assert_eq!((gets(&first).await, town.generation(client_id.as_str().unwrap())), (401, 2));
}

#[actix_web::test]
async fn a_role_goes_to_integrations_only_and_changing_it_ends_their_tokens() {
    let town = Town::new();
    let related = json!({ "organization": "organizations acme", "role": "roles acme.packer" });
    let seen =
        town.post("ann", "api_credentials", json!({ "name": "S", "kind": "sales_channel" }), related).await;
    assert_eq!((seen.status, seen.pointer()), (422, "/data/relationships/role".into()));
    let seen = town
        .patch("ann", "api_credentials/app-robot", json!({}), json!({ "role": "roles acme.read_only" }))
        .await;
    assert_eq!((seen.status, town.generation("robot")), (200, 1));
}

#[actix_web::test]
async fn admins_write_and_the_others_read() {
    let town = Town::new();
    let to_acme = json!({ "organization": "organizations acme" });
    let credential = json!({ "name": "x", "kind": "sales_channel" });
    let invited = json!({ "organization": "organizations acme", "role": "roles acme.read_only" });
    for who in ["rob", "eve"] {
        assert_eq!(town.post(who, "api_credentials", credential.clone(), to_acme.clone()).await.status, 403);
        let email = json!({ "user_email": "x@example.com" });
        assert_eq!(town.post(who, "memberships", email, invited.clone()).await.status, 403);
        assert_eq!(town.delete(who, "memberships/m-dan").await.status, 403);
        assert_eq!(
            town.patch(who, "organizations/acme", json!({ "name": "Mine" }), json!({})).await.status,
            403
        );
        assert_eq!(town.get(who, "api_credentials/app-robot").await.status, 200);
    }
    assert_eq!(town.post("rob", "roles", json!({ "name": "x" }), to_acme.clone()).await.status, 403);
    assert_eq!(town.post("dan", "api_credentials", credential, to_acme).await.status, 201);
    assert!(
        town.books
            .audit()
            .iter()
            .any(|it| it.event == "registry.refused" && it.subject.as_deref() == Some("rob"))
    );
}

#[actix_web::test]
async fn nobody_grants_more_than_they_have() {
    let town = Town::new();
    let role = town
        .post("eve", "roles", json!({ "name": "Mine" }), json!({ "organization": "organizations acme" }))
        .await
        .id();
    let related = json!({ "role": format!("roles {role}") });
    let orders = |more: Value| {
        let mut it = json!({ "subject": "orders", "can_read": true });
        it.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        it
    };
    let fenced = json!({ "restrictions": { "when": ["market_scope"] } });
    assert_eq!(town.post("eve", "permissions", orders(json!({})), related.clone()).await.status, 403);
    assert_eq!(
        town.post("eve", "permissions", orders(json!({ "can_update": true })), related.clone()).await.status,
        403
    );
    let seen = town.post("eve", "permissions", orders(fenced), related.clone()).await;
    assert_eq!(seen.status, 201, "{}", seen.body);
    let wider = json!({ "restrictions": {} });
    let path = format!("permissions/{}", seen.id());
    assert_eq!(town.patch("eve", &path, wider.clone(), json!({})).await.status, 403);
    assert_eq!(town.patch("ann", &path, wider, json!({})).await.status, 200);
    assert_eq!(
        town.post("eve", "permissions", json!({ "subject": "*", "can_read": true }), related).await.status,
        403
    );
}

#[actix_web::test]
async fn two_roles_in_conflict_are_never_one_person_s() {
    let town = Town::new();
    let seen =
        town.patch("ann", "roles/acme.clerk", json!({ "conflicts_with": ["acme.packer"] }), json!({})).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    let related = json!({ "organization": "organizations acme", "api_credential": "api_credentials app-robot",
        "role": "roles acme.packer", "membership": "memberships m-eve" });
    let seen = town.post("ann", "application_memberships", json!({}), related.clone()).await;
    assert_eq!((seen.status, seen.pointer()), (422, "/data/relationships/role".into()));
    let mut to_rob = related;
    to_rob["membership"] = "memberships m-rob".into();
    assert_eq!(town.post("ann", "application_memberships", json!({}), to_rob).await.status, 201);
    let seen = town.patch("ann", "memberships/m-rob", json!({}), json!({ "role": "roles acme.clerk" })).await;
    assert_eq!(seen.status, 422, "{}", seen.body);
}

#[actix_web::test]
async fn an_invitation_tells_nothing_about_accounts_and_is_accepted_by_its_address() {
    let town = Town::new();
    let related = json!({ "organization": "organizations acme", "role": "roles acme.read_only" });
    let invite = async |email: &str| {
        town.post("ann", "memberships", json!({ "user_email": email }), related.clone()).await
    };
    let (known, new) = (invite("ZOE@example.com").await, invite("new@example.com").await);
    // But for ids, codes and the address that was sent, the answers are one.
    let shape = |seen: &Seen, email: &str| {
        let code = seen.attribute("invitation_code");
        let (id, code) = (seen.id(), code.as_str().expect("a code").to_owned());
        seen.body.replace(&id, "ID").replace(&code, "CODE").replace(email, "EMAIL")
    };
    assert_eq!((known.status, new.status), (201, 201));
    assert_eq!(shape(&known, "ZOE@example.com"), shape(&new, "new@example.com"));
    assert_eq!(known.attribute("status"), "pending");
    let again = invite("zoe@example.com").await;
    assert_eq!((again.status, again.pointer()), (422, "/data/attributes/user_email".into()));
    for id in [known.id(), new.id()] {
        let seen = town.get("ann", &format!("memberships/{id}")).await;
        assert_eq!(
            (seen.attribute("user_first_name"), seen.attribute("invitation_code")),
            (Value::Null, Value::Null)
        );
        let versions = town.get("ann", &format!("memberships/{id}/versions")).await.body;
        assert!(!versions.contains("first_name\":\"zoe"), "{versions}");
    }
    assert_eq!(
        town.get("zoe", "organizations").await.ids(),
        Vec::<String>::new(),
        "not before it is accepted"
    );

    let (id, first) = (new.id(), new.attribute("invitation_code"));
    let resent = town
        .send("ann", Method::POST, &format!("memberships/{id}/resend"), Some(json!({ "data": {} })))
        .await;
    assert_eq!(resent.status, 202);
    let second = resent.json()["meta"]["invitation_code"].clone();
    let accept = async |id: &str, code: &Value| {
        let body = draft("memberships", json!({ "invitation_code": code }), json!({}));
        town.send("zoe", Method::POST, &format!("memberships/{id}/accept"), Some(body)).await
    };
    assert_eq!(accept(&id, &second).await.status, 404, "the address is somebody else's");
    assert_eq!(accept(&known.id(), &first).await.status, 404, "a code of another invitation");
    town.books.change_person("zoe", |zoe| zoe.email = "new@example.com".into());
    assert_eq!(accept(&id, &first).await.status, 404, "an old code");
    let seen = accept(&id, &second).await;
    assert_eq!((seen.status, seen.attribute("status")), (200, json!("active")), "{}", seen.body);
    assert_eq!(accept(&id, &second).await.status, 404, "once");
    assert_eq!(town.get("zoe", "organizations").await.ids(), ["acme"]);
    assert_eq!(town.delete("zoe", &format!("memberships/{id}")).await.status, 204, "one may leave");
}

/// A role that may write permissions is no way to more: not for oneself, and not by way of somebody else.
#[actix_web::test]
async fn nobody_but_an_admin_changes_a_role_that_they_hold() {
    let town = Town::new();
    let own = town.get("eve", "permissions?filter[q][role_id_eq]=acme.clerk&sort=subject").await.ids();
    for permission in &own {
        let path = format!("permissions/{permission}");
        let seen = town.patch("eve", &path, json!({ "can_read": false }), json!({})).await;
        assert_eq!(seen.status, 403, "not even to narrow it: duties are separate");
    }
    let clerk = json!({ "role": "roles acme.clerk" });
    let more = json!({ "subject": "skus", "can_read": true });
    assert_eq!(town.post("eve", "permissions", more.clone(), clerk.clone()).await.status, 403);
    let within = json!({ "subject": "line_items", "can_read": false });
    assert_eq!(
        town.post("eve", "permissions", within, clerk.clone()).await.status,
        403,
        "nor within her own"
    );
    let conflicts = json!({ "conflicts_with": ["acme.packer"] });
    assert_eq!(town.patch("eve", "roles/acme.clerk", conflicts.clone(), json!({})).await.status, 403);
    let renamed = town.patch("eve", "roles/acme.clerk", json!({ "name": "Clerks" }), json!({})).await;
    assert_eq!(renamed.status, 200, "a name grants nothing: {}", renamed.body);
    assert_eq!(town.post("ann", "permissions", more, clerk).await.status, 201);
    assert_eq!(town.patch("ann", "roles/acme.clerk", conflicts, json!({})).await.status, 200);
}

/// Eve may write application memberships here, and her own place is out of her reach.
#[actix_web::test]
async fn nobody_but_an_admin_changes_what_they_are_kept_to() {
    let town = Town::new();
    for subject in ["application_memberships", "membership_profiles"] {
        let given = json!({ "subject": subject, "can_create": true, "can_read": true, "can_update": true, "can_destroy": true });
        assert_eq!(
            town.post("ann", "permissions", given, json!({ "role": "roles acme.clerk" })).await.status,
            201
        );
    }
    let role = town.new_role("Nothing").await;
    let bundle = |membership: &str| {
        json!({ "organization": "organizations acme", "api_credential": "api_credentials app-robot",
            "role": format!("roles {role}"), "membership": format!("memberships {membership}") })
    };
    let filters = json!({ "filters": { "market_id_in": ["eu"] } });
    let of_rob = town.post("eve", "application_memberships", filters.clone(), bundle("m-rob")).await;
    assert_eq!(of_rob.status, 201, "somebody else's: {}", of_rob.body);
    assert_eq!(
        town.post("eve", "application_memberships", filters.clone(), bundle("m-eve")).await.status,
        403
    );
    let of_eve = town.post("ann", "application_memberships", filters.clone(), bundle("m-eve")).await;
    assert_eq!(of_eve.status, 201, "{}", of_eve.body);
    let path = format!("application_memberships/{}", of_eve.id());
    assert_eq!(town.patch("eve", &path, json!({ "filters": {} }), json!({})).await.status, 403);
    assert_eq!(town.delete("eve", &path).await.status, 403);
    let path = format!("application_memberships/{}", of_rob.id());
    assert_eq!(
        town.patch("eve", &path, json!({ "filters": {} }), json!({})).await.status,
        403,
        "she is kept now"
    );
    assert_eq!(town.post("eve", "application_memberships", json!({}), bundle("m-dan")).await.status, 403);
    assert_eq!(
        town.patch("eve", "memberships/m-eve", json!({ "_all_applications": true }), json!({})).await.status,
        403
    );
}

/// What hangs off a membership is followed into the membership, whichever way it changes.
#[actix_web::test]
async fn a_membership_is_kept_to_what_its_applications_and_profile_say() {
    use portcullis_authority::registry::{Mode, Registry as _};
    let town = Town::new();
    let rob = async || town.books.memberships("rob").await.unwrap().remove(0);
    let opens = json!({ "_all_applications": true });
    let related = json!({ "organization": "organizations acme", "api_credential": "api_credentials app-robot",
        "role": "roles acme.packer", "membership": "memberships m-rob" });
    for wrong in [json!({ "market_code_in": ["eu"] }), json!({ "market_id_in": "eu" })] {
        let seen =
            town.post("ann", "application_memberships", json!({ "filters": wrong }), related.clone()).await;
        assert_eq!((seen.status, seen.pointer()), (422, "/data/attributes/filters".into()));
    }
    assert_eq!(rob().await.applications, None);
    let filters = json!({ "filters": { "market_id_in": ["eu", 7] } });
    let seen = town.post("ann", "application_memberships", filters, related).await;
    let path = format!("application_memberships/{}", seen.id());
    let shares = rob().await.applications.expect("kept to one");
    assert_eq!((shares[0].application.as_str(), shares[0].role.as_str()), ("app-robot", "packer"));
    assert_eq!(shares[0].markets.as_deref(), Some(&["eu".to_owned(), "7".to_owned()][..]));
    assert_eq!(town.get("ann", "memberships/m-rob").await.attribute("all_applications"), false);
    assert_eq!(town.patch("ann", &path, json!({ "filters": {} }), json!({})).await.status, 200);
    assert_eq!(rob().await.applications.unwrap()[0].markets, None);
    let early = town.patch("ann", "memberships/m-rob", opens.clone(), json!({})).await;
    assert_eq!((early.status, early.pointer()), (422, "/data/attributes/_all_applications".into()));
    assert_eq!(town.delete("ann", &path).await.status, 204);
    assert_eq!(rob().await.applications, Some(Vec::new()), "the last one gone leaves none, and not all");
    assert_eq!(town.patch("ann", "memberships/m-rob", opens.clone(), json!({})).await.status, 200);
    assert_eq!(rob().await.applications, None);

    let home = json!({ "organization": "organizations acme" });
    let scope = json!({ "name": "Marketing", "access_scope": "live_access" });
    let profile = town.post("ann", "membership_profiles", scope, home).await.id();
    let to = json!({ "membership_profile": format!("membership_profiles {profile}") });
    assert_eq!(town.patch("ann", "memberships/m-rob", json!({}), to).await.status, 200);
    assert_eq!((rob().await.applications, rob().await.modes), (Some(Vec::new()), Some(vec![Mode::Live])));
    let related = json!({ "organization": "organizations acme", "api_credential": "api_credentials app-robot",
        "role": "roles acme.packer", "membership_profile": format!("membership_profiles {profile}") });
    assert_eq!(town.post("ann", "application_memberships", json!({}), related).await.status, 201);
    assert_eq!(rob().await.applications.unwrap().len(), 1);
    assert_eq!(town.delete("ann", "api_credentials/app-robot").await.status, 204);
    assert_eq!(rob().await.applications, Some(Vec::new()), "what is deleted reaches nothing");
    assert_eq!(town.delete("ann", &format!("membership_profiles/{profile}")).await.status, 204);
    assert_eq!((rob().await.applications, rob().await.modes), (Some(Vec::new()), None));
}

#[actix_web::test]
async fn an_owner_transfers_before_leaving() {
    let town = Town::new();
    let to = |email: &str| json!({ "data": { "type": "organizations", "id": "acme", "attributes": { "new_owner_email": email }, "relationships": {} } });
    let path = "organizations/acme/transfer_ownership";
    assert_eq!(town.delete("ann", "memberships/m-ann").await.status, 403);
    assert_eq!(town.send("dan", Method::PATCH, path, Some(to("dan@example.com"))).await.status, 403);
    let seen = town.send("ann", Method::PATCH, path, Some(to("gil@example.com"))).await;
    assert_eq!((seen.status, seen.pointer()), (422, "/data/attributes/new_owner_email".into()));
    assert_eq!(town.send("ann", Method::PATCH, path, Some(to("rob@example.com"))).await.status, 202);
    let rob = town.get("rob", "memberships/m-rob").await;
    assert_eq!(rob.attribute("owner"), true);
    assert_eq!(rob.json()["data"]["relationships"]["role"]["data"]["id"], "acme.admin");
    assert_eq!(town.delete("ann", "memberships/m-ann").await.status, 204);
    assert_eq!(town.get("ann", "organizations/acme").await.status, 404);
}

#[actix_web::test]
async fn a_founder_owns_what_was_founded_and_custom_roles_need_the_plan() {
    let town = Town::new();
    let seen = town
        .post(
            "zoe",
            "organizations",
            json!({ "name": "The Blue Brand", "support_email": "a@b.example" }),
            json!({}),
        )
        .await;
    assert_eq!((seen.status, seen.attribute("slug")), (201, json!("the-blue-brand")));
    let id = seen.id();
    let roles = town.get("zoe", &format!("organizations/{id}/roles?sort=name")).await;
    assert_eq!(roles.ids(), [format!("{id}.admin"), format!("{id}.read_only")]);
    let own = json!({ "organization": format!("organizations {id}") });
    assert_eq!(town.post("zoe", "roles", json!({ "name": "x" }), own).await.status, 403);
    let seen = town
        .patch("zoe", &format!("organizations/{id}"), json!({ "config": { "mfe": {} } }), json!({}))
        .await;
    assert_eq!((seen.status, seen.attribute("config")), (200, json!({ "mfe": {} })));
    assert_eq!(town.delete("zoe", &format!("organizations/{id}")).await.status, 403);
}

#[actix_web::test]
async fn a_person_reads_and_changes_that_person_only() {
    let town = Town::new();
    let seen = town
        .patch("rob", "user", json!({ "first_name": "Robert", "time_zone": "Europe/Rome" }), json!({}))
        .await;
    assert_eq!((seen.status, seen.attribute("first_name")), (200, json!("Robert")), "{}", seen.body);
    assert_eq!(town.get("rob", "user").await.attribute("time_zone"), "Europe/Rome");
    let seen = town.patch("rob", "user", json!({ "email": "gil@example.com" }), json!({})).await;
    assert_eq!((seen.status, seen.pointer()), (422, "/data/attributes/email".into()));
    assert_eq!(town.get("rob", "users").await.status, 404);
}

#[actix_web::test]
async fn profiles_bundle_application_memberships() {
    let town = Town::new();
    let home = json!({ "organization": "organizations acme" });
    let profile = town
        .post(
            "ann",
            "membership_profiles",
            json!({ "name": "Marketing", "access_scope": "all_access" }),
            home,
        )
        .await;
    assert_eq!(profile.status, 201, "{}", profile.body);
    let related = json!({ "organization": "organizations acme", "api_credential": "api_credentials app-robot",
        "role": "roles acme.packer", "membership_profile": format!("membership_profiles {}", profile.id()) });
    let bundled = town
        .post("ann", "application_memberships", json!({ "filters": { "market_id_in": ["eu"] } }), related)
        .await;
    assert_eq!(bundled.status, 201, "{}", bundled.body);
    let seen =
        town.get("rob", &format!("membership_profiles/{}/application_memberships", profile.id())).await;
    assert_eq!(seen.ids(), [bundled.id()]);
    let to = json!({ "membership_profile": format!("membership_profiles {}", profile.id()) });
    assert_eq!(town.patch("ann", "memberships/m-rob", json!({}), to).await.status, 200);
    let path = format!("application_memberships/{}", bundled.id());
    assert_eq!(
        town.patch("ann", &path, json!({ "filters": {} }), json!({})).await.attribute("filters"),
        json!({})
    );
    assert_eq!(town.delete("ann", &format!("membership_profiles/{}", profile.id())).await.status, 204);
    assert_eq!(town.get("ann", &path).await.status, 404);
    let rob = town.get("ann", "memberships/m-rob").await.json();
    assert_eq!(rob["data"]["relationships"]["membership_profile"]["data"], Value::Null);
}

#[actix_web::test]
async fn identity_providers_are_the_owner_s_to_write() {
    let town = Town::new();
    let given = json!({ "name": "SSO", "client_id": "c", "client_secret": "hush-hush", "issuer": "https://idp.example",
        "domains": "example.com", "token_url": "https://idp.example/t", "authorize_url": "https://idp.example/a",
        "jwks_url": "https://idp.example/j" });
    assert_eq!(town.post("dan", "identity_providers", given.clone(), json!({})).await.status, 403);
    let seen = town.post("ann", "identity_providers", given, json!({})).await;
    assert_eq!((seen.status, seen.attribute("status")), (201, json!("pending")), "{}", seen.body);
    assert!(!seen.body.contains("hush-hush"));
    let path = format!("identity_providers/{}", seen.id());
    let seen = town.patch("ann", &path, json!({ "_disable": true }), json!({})).await;
    assert_eq!(seen.attribute("disabled_at"), "2027-01-15T08:00:00.000Z");
    let seen =
        town.patch("ann", &path, json!({ "_enable": true, "issuer": "http://idp.example" }), json!({})).await;
    assert_eq!((seen.status, seen.pointer()), (422, "/data/attributes/issuer".into()));
    assert_eq!(town.get("rob", &format!("{path}?include=user")).await.json()["included"][0]["id"], "ann");
    assert_eq!(town.delete("ann", &path).await.status, 204);
}

#[actix_web::test]
async fn versions_tell_who_changed_what_from_what_to_what() {
    let town = Town::new();
    let role = town.new_role("Before").await;
    town.patch("dan", &format!("roles/{role}"), json!({ "name": "After" }), json!({})).await;
    let seen = town.get("rob", &format!("roles/{role}/versions")).await;
    let body = seen.json();
    assert_eq!(body["meta"]["record_count"], 2, "{body}");
    let last = &body["data"][1];
    assert_eq!(
        (&last["attributes"]["event"], &last["attributes"]["resource_id"]),
        (&json!("update"), &json!(role))
    );
    assert_eq!(last["attributes"]["changes"], json!({ "name": ["Before", "After"] }));
    assert_eq!(last["attributes"]["who"]["user"]["id"], "dan");
    let id = last["id"].as_str().unwrap();
    assert_eq!(town.get("rob", &format!("versions/{id}")).await.status, 200);
    assert_eq!(town.get("gil", &format!("versions/{id}")).await.status, 404);
    let seen = town.get("rob", "versions?filter[q][event_eq]=create&sort=-created_at").await;
    assert_eq!(seen.json()["meta"]["record_count"], 1);
}

#[actix_web::test]
async fn lists_are_filtered_sorted_and_cut_into_pages() {
    let town = Town::new();
    for n in 0..12 {
        town.new_role(&format!("Role {n:02}")).await;
    }
    let seen =
        town.get("ann", "roles?filter[q][name_start]=Role&sort=-name&page[size]=5&page[number]=2").await;
    let body = seen.json();
    assert_eq!(body["meta"], json!({ "record_count": 12, "page_count": 3 }));
    assert_eq!(body["data"][0]["attributes"]["name"], "Role 06");
    let next = body["links"]["next"].as_str().unwrap();
    assert!(next.contains("page%5Bnumber%5D=3") && next.contains("name_start"), "{next}");
    assert!(body["links"]["prev"].is_string());
    let counts = [
        ("filter[q][kind_in]=admin,read_only", 2),
        ("filter[q][kind_not_eq]=custom", 2),
        ("filter[q][name_or_kind_cont]=adm", 1),
        ("filter[q][organization_id_eq]=acme", 16),
        ("filter[q][organization_slug_eq]=globex", 0),
        ("filter[q][reference_null]=true&filter[q][name_matches]=role%200%25", 10),
        ("filter[q][created_at_gteq]=2027-01-01", 12),
    ];
    for (query, count) in counts {
        let seen = town.get("ann", &format!("roles?{query}")).await;
        assert_eq!(seen.json()["meta"]["record_count"], count, "{query}");
    }
    for wrong in [
        "filter[q][shoe_eq]=1",
        "filter[q][name]=1",
        "sort=shoe",
        "include=shoes",
        "page[size]=26",
        "page[number]=0",
        "q=1",
    ] {
        let seen = town.get("ann", &format!("roles?{wrong}")).await;
        assert_eq!(seen.status, 400, "{wrong}: {}", seen.body);
        assert!(seen.json()["errors"][0]["source"]["parameter"].is_string(), "{wrong}");
    }
}

#[actix_web::test]
async fn every_mistake_is_named_where_it_is() {
    let town = Town::new();
    let seen = town
        .post(
            "ann",
            "api_credentials",
            json!({ "kind": "shop", "expires_in": 5, "colour": "red" }),
            json!({}),
        )
        .await;
    let pointers: Vec<String> = seen.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["source"]["pointer"].as_str().unwrap().to_owned())
        .collect();
    for name in [
        "relationships/organization",
        "attributes/name",
        "attributes/kind",
        "attributes/expires_in",
        "attributes/colour",
    ] {
        assert!(pointers.contains(&format!("/data/{name}")), "{name} in {pointers:?}");
    }
    let wrong_type = draft("roles", json!({ "name": "x" }), json!({}));
    assert_eq!(town.send("ann", Method::POST, "permissions", Some(wrong_type)).await.pointer(), "/data/type");
    let token = town.token("of-ann").await;
    let request = TestRequest::post()
        .uri("/api/roles")
        .insert_header((header::AUTHORIZATION, format!("Bearer {token}")));
    assert_eq!(call(&town.house, request.set_payload("{}")).await.status, 415);
}

/// Every address with somebody else's token, id, relationship and page: as if there were nothing.
#[actix_web::test]
async fn another_organization_s_things_do_not_even_exist() {
    let town = Town::new();
    let gils = [
        ("organizations", "globex"),
        ("roles", "globex.secret"),
        ("api_credentials", "app-globot"),
        ("memberships", "m-gil"),
    ];
    let secret = town.get("gil", "roles/globex.secret/permissions").await.ids();
    let version = {
        town.patch("gil", "roles/globex.secret", json!({ "name": "Changed" }), json!({})).await;
        town.get("gil", "versions").await.ids()
    };
    let mut all: Vec<(&str, String)> = gils.iter().map(|(kind, id)| (*kind, (*id).to_owned())).collect();
    all.extend([("permissions", secret[0].clone()), ("versions", version[0].clone())]);
    let mut tried = 0;
    for (kind, id) in &all {
        assert_eq!(town.get("gil", &format!("{kind}/{id}")).await.status, 200, "{kind}");
        let nothing = town.get("ann", &format!("{kind}/no-such-thing")).await.body;
        for path in [
            format!("{kind}/{id}"),
            format!("{kind}/{id}/organization"),
            format!("{kind}/{id}/relationships/role"),
        ] {
            let seen = town.get("ann", &path).await;
            assert_eq!((seen.status, &seen.body), (404, &nothing), "{path}");
            tried += 1;
        }
        let changed = town.patch("ann", &format!("{kind}/{id}"), json!({ "name": "x" }), json!({})).await;
        let deleted = town.delete("ann", &format!("{kind}/{id}")).await;
        assert_eq!(
            (changed.status, &changed.body, deleted.status, &deleted.body),
            (404, &nothing, 404, &nothing)
        );
        for query in [
            "",
            "?page[number]=2",
            &format!("?filter[q][id_eq]={id}"),
            "?filter[q][organization_id_eq]=globex",
            "?include=organization",
        ] {
            let query = if *kind == "organizations" && query.contains("organization") { "" } else { query };
            let seen = town.get("ann", &format!("{kind}{query}")).await;
            let shown =
                [&seen.json()["data"], &seen.json()["included"], &seen.json()["meta"]].map(Value::to_string);
            assert!(seen.status == 200 && !shown.concat().contains(id.as_str()), "{kind}{query}: {shown:?}");
            tried += 1;
        }
        tried += 2;
    }
    for path in
        ["memberships/m-gil/resend", "memberships/m-gil/accept", "organizations/globex/transfer_ownership"]
    {
        let method = if path.starts_with("org") { Method::PATCH } else { Method::POST };
        let kind = path.split('/').next().unwrap();
        let body =
            draft(kind, json!({ "invitation_code": "x", "new_owner_email": "ann@example.com" }), json!({}));
        let seen = town.send("ann", method, path, Some(body)).await;
        assert!(matches!(seen.status, 404 | 422), "{path} {}", seen.body);
        assert!(!seen.body.contains("gil"));
        tried += 1;
    }
    let foreign = [
        ("roles", json!({ "name": "x" }), json!({ "organization": "organizations globex" })),
        ("permissions", json!({ "subject": "skus" }), json!({ "role": "roles globex.secret" })),
        (
            "api_credentials",
            json!({ "name": "x", "kind": "integration" }),
            json!({ "organization": "organizations acme", "role": "roles globex.secret" }),
        ),
        (
            "memberships",
            json!({ "user_email": "x@example.com" }),
            json!({ "organization": "organizations acme", "role": "roles globex.admin" }),
        ),
        ("membership_profiles", json!({ "name": "x" }), json!({ "organization": "organizations globex" })),
        (
            "application_memberships",
            json!({}),
            json!({ "organization": "organizations acme", "api_credential": "api_credentials app-globot", "role": "roles acme.packer" }),
        ),
        (
            "application_memberships",
            json!({}),
            json!({ "organization": "organizations acme", "api_credential": "api_credentials app-robot", "role": "roles acme.packer", "membership": "memberships m-gil" }),
        ),
    ];
    for (kind, attributes, related) in foreign {
        let seen = town.post("ann", kind, attributes, related).await;
        assert_eq!(seen.status, 422, "{kind} {}", seen.body);
        assert!(seen.pointer().starts_with("/data/relationships/"), "{}", seen.body);
        tried += 1;
    }
    let token = town.token("globot").await;
    for kind in ["organizations", "roles", "user", "versions"] {
        let request =
            get(&format!("/api/{kind}")).insert_header((header::AUTHORIZATION, format!("Bearer {token}")));
        assert_eq!(call(&town.house, request).await.status, 403, "an integration is nobody here");
        assert_eq!(call(&town.house, get(&format!("/api/{kind}"))).await.status, 401);
        tried += 2;
    }
    println!("tenants: {tried} ways into another organization tried, none led anywhere");
}

#[actix_web::test]
async fn whoever_changes_too_much_has_to_wait_and_may_still_read() {
    let town = Town::new();
    let change = async || town.patch("ann", "user", json!({ "first_name": "Ann" }), json!({})).await;
    let seen = change().await;
    assert_eq!(
        (seen.status, seen.header("x-ratelimit-limit"), seen.header("x-ratelimit-remaining")),
        (200, "200", "199")
    );
    for _ in 1..200 {
        assert_eq!(change().await.status, 200);
    }
    let seen = change().await;
    assert_eq!((seen.status, seen.header("retry-after"), seen.header("content-type")), (429, "1", MEDIA));
    assert_eq!(seen.json()["errors"][0]["status"], "429");
    let seen = town.get("ann", "user").await;
    assert_eq!((seen.status, seen.header("x-ratelimit-limit")), (200, "1000"));
}
