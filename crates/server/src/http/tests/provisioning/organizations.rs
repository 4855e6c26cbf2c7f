//! Organizations and their people: who writes, who reads, who owns, and that no other organization exists.

use super::*;

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

/// The answer tells that an address is taken, so it is given as seldom as an invitation.
#[actix_web::test]
async fn whoever_tries_addresses_out_has_to_wait() {
    let town = Town::new();
    let mut told = 0;
    let waiting = loop {
        let seen = town.patch("rob", "user", json!({ "email": "gil@example.com" }), json!({})).await;
        match seen.status {
            422 if told < 1000 => told += 1,
            _ => break seen,
        }
    };
    assert_eq!((waiting.status, told), (429, 100), "{}", waiting.body);
    let named = town.patch("rob", "user", json!({ "first_name": "Robert" }), json!({})).await;
    assert_eq!(named.status, 200, "the rest of the account is changed as before");
}
