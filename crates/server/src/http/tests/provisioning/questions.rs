//! How one asks: lists, versions, mistakes, and asking too much.

use super::*;

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
