//! Applications and what outside programs hold: secrets, their roles, and whom an organization trusts to sign in.

use super::*;

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
