//! Memberships: invitations, and what a member is kept to.

use super::*;

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
