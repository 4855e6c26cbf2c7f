//! Roles and permissions: who may make them, and that nobody comes to more by them.

use super::*;

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
    // With the role went what narrows those for whom it acts, so it works again with another one only.
    let on = json!({ "_enable": true });
    let seen = town.patch("ann", "api_credentials/app-robot", on.clone(), json!({})).await;
    assert_eq!((seen.status, seen.pointer()), (422, "/data/relationships/role".into()));
    let related = json!({ "role": "roles acme.read_only" });
    assert_eq!(town.patch("ann", "api_credentials/app-robot", on, related).await.status, 200);
    assert_eq!(call(&town.house, ask_token("robot")).await.status, 200);
    assert_eq!(town.delete("ann", "roles/acme.clerk").await.status, 204);
    assert_eq!(town.get("ann", "memberships/m-eve").await.status, 404);
    assert_eq!(town.get("eve", "roles").await.ids(), Vec::<String>::new());
    for built_in in ["admin", "read_only"] {
        assert_eq!(town.delete("ann", &format!("roles/acme.{built_in}")).await.status, 403);
    }
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
