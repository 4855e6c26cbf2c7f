//! Who is given personal data in an organization that asks for two persons: no admin gives anybody more of it alone, by
//! whichever way, and nothing else is held up.

use portcullis_authority::ledger::{Act, Deed, Ledger as _};
use portcullis_authority::provisioning::change::{Amendment, Change};
use portcullis_authority::registry::Registry as _;

use super::*;

impl Town {
    /// Acme asks from now on.
    async fn ask_for_two(&self) {
        let seen = self.books.estate("", &["acme".into()]).await.unwrap();
        let mut acme = seen.organizations.into_iter().find(|it| it.id == "acme").unwrap();
        acme.safety.second_person_for_personal_data = true;
        let changes = vec![Change::PutOrganization(acme)];
        let act = Act::Amend(Amendment { expected: seen.version, changes });
        self.books.commit(Deed { act, audit: Vec::new() }).await.unwrap();
    }

    /// A role that reads a catalogue, in which nobody is.
    async fn catalogue(&self) -> String {
        let role = self.new_role("Catalogue").await;
        let related = json!({ "role": format!("roles {role}") });
        let given = json!({ "subject": "skus", "can_read": true });
        assert_eq!(self.post("ann", "permissions", given, related).await.status, 201);
        role
    }

    async fn invite(&self, email: &str, role: &str) -> Seen {
        let related = json!({ "organization": "organizations acme", "role": format!("roles {role}") });
        self.post("ann", "memberships", json!({ "user_email": email }), related).await
    }

    /// Gives a member, an invitation or an application another role.
    async fn give(&self, path: &str, role: &str) -> Seen {
        self.patch("ann", path, json!({}), json!({ "role": format!("roles {role}") })).await
    }

    async fn set(&self, path: &str, attributes: Value) -> Seen {
        self.patch("ann", path, attributes, json!({})).await
    }

    /// Hangs an application with a role off a membership.
    async fn bundle(&self, membership: &str, application: &str, role: &str, filters: Value) -> Seen {
        let related = json!({
            "organization": "organizations acme",
            "api_credential": format!("api_credentials {application}"),
            "role": format!("roles {role}"),
            "membership": format!("memberships {membership}"),
        });
        self.post("ann", "application_memberships", json!({ "filters": filters }), related).await
    }

    async fn credential(&self, kind: &str, role: Option<&str>) -> Seen {
        let mut related = json!({ "organization": "organizations acme" });
        if let Some(role) = role {
            related["role"] = json!(format!("roles {role}"));
        }
        self.post("ann", "api_credentials", json!({ "name": "New", "kind": kind }), related).await
    }
}

#[track_caller]
fn is_for_two(seen: &Seen) {
    assert_eq!(seen.status, 403, "{}", seen.body);
    let told = ["two operators", "organizations entrust", "people invite"];
    assert!(told.iter().all(|words| seen.body.contains(words)), "{}", seen.body);
}

#[track_caller]
fn is_done(seen: &Seen) {
    assert!(matches!(seen.status, 200..=204), "{} {}", seen.status, seen.body);
}

#[actix_web::test]
async fn no_admin_gives_anybody_a_role_that_reaches_personal_data() {
    let town = Town::new();
    let catalogue = town.catalogue().await;
    town.ask_for_two().await;
    for role in ["acme.admin", "acme.read_only", "acme.packer", "acme.clerk"] {
        is_for_two(&town.invite("new@example.com", role).await);
    }
    let pending = town.invite("new@example.com", &catalogue).await;
    is_done(&pending);
    let pending = format!("memberships/{}", pending.id());
    is_for_two(&town.give(&pending, "acme.packer").await);
    is_for_two(&town.give("memberships/m-rob", "acme.admin").await);
    is_for_two(&town.give("memberships/m-rob", "acme.packer").await);
    is_for_two(&town.give("memberships/m-eve", "acme.packer").await);
    is_done(&town.give("memberships/m-rob", &catalogue).await);
    is_for_two(&town.give("memberships/m-rob", "acme.read_only").await);
    // Whoever has left and is to come back is given it anew.
    is_done(&town.delete("ann", "memberships/m-dan").await);
    is_for_two(&town.invite("dan@example.com", "acme.admin").await);
    // With the ownership comes the role of an admin.
    let hand_on = json!({ "new_owner_email": "eve@example.com" });
    is_for_two(&town.patch("ann", "organizations/acme/transfer_ownership", hand_on, json!({})).await);
    let versions = town.get("ann", "memberships/m-eve/versions").await;
    assert_eq!(versions.ids(), Vec::<String>::new(), "nothing was done");
}

#[actix_web::test]
async fn an_organization_that_does_not_ask_is_not_held_up() {
    let town = Town::new();
    town.ask_for_two().await;
    let related = json!({ "organization": "organizations globex", "role": "roles globex.admin" });
    is_done(&town.post("gil", "memberships", json!({ "user_email": "zoe@example.com" }), related).await);
    // Whoever founds one has it, and asks for nothing yet.
    let own = town.post("ann", "organizations", json!({ "name": "Annex" }), json!({})).await;
    is_done(&own);
    let related = json!({
        "organization": format!("organizations {}", own.id()), "role": format!("roles {}.admin", own.id()),
    });
    is_done(&town.post("ann", "memberships", json!({ "user_email": "zoe@example.com" }), related).await);
    // The owner of one that asks hands it on to another admin.
    let hand_on = json!({ "new_owner_email": "dan@example.com" });
    is_done(&town.patch("ann", "organizations/acme/transfer_ownership", hand_on, json!({})).await);
}

#[actix_web::test]
async fn what_was_offered_before_is_taken_up_and_not_offered_again() {
    let town = Town::new();
    let catalogue = town.catalogue().await;
    let (zoe, new) = (
        town.invite("zoe@example.com", "acme.read_only").await,
        town.invite("n@example.com", "acme.admin").await,
    );
    town.ask_for_two().await;
    let new = format!("memberships/{}", new.id());
    is_done(&town.give(&new, "acme.read_only").await);
    is_for_two(&town.give(&new, "acme.admin").await);
    is_done(&town.give(&new, &catalogue).await);
    is_for_two(&town.give(&new, "acme.read_only").await);
    let path = format!("memberships/{}", zoe.id());
    let resent = town.send("ann", Method::POST, &format!("{path}/resend"), Some(json!({ "data": {} }))).await;
    assert_eq!(resent.status, 202, "{}", resent.body);
    let code = resent.json()["meta"]["invitation_code"].clone();
    let body = draft("memberships", json!({ "invitation_code": code }), json!({}));
    is_done(&town.send("zoe", Method::POST, &format!("{path}/accept"), Some(body)).await);
    is_done(&town.delete("zoe", &path).await);
    is_for_two(&town.invite("zoe@example.com", "acme.read_only").await);
    is_done(&town.invite("zoe@example.com", &catalogue).await);
}

#[actix_web::test]
async fn whoever_is_kept_to_less_is_not_let_out_by_one_admin() {
    let town = Town::new();
    let catalogue = town.catalogue().await;
    is_done(&town.give("api_credentials/app-robot", "acme.admin").await);
    let home = json!({ "organization": "organizations acme" });
    let scope = json!({ "name": "Testers", "access_scope": "test_access" });
    let profile = town.post("ann", "membership_profiles", scope, home).await.id();
    let tester = town.invite("t@example.com", "acme.read_only").await.id();
    let to = json!({ "membership_profile": format!("membership_profiles {profile}") });
    is_done(&town.patch("ann", &format!("memberships/{tester}"), json!({}), to).await);
    let beside = town.bundle("m-dan", "app-robot", &catalogue, json!({})).await;
    let beside = format!("application_memberships/{}", beside.id());
    town.ask_for_two().await;
    // Another role beside, a market more, an application more.
    is_for_two(&town.give(&beside, "acme.packer").await);
    let europe = json!({ "market_id_in": ["eu"] });
    let rob = town.bundle("m-rob", "app-robot", "acme.packer", europe.clone()).await;
    is_done(&rob);
    let rob = format!("application_memberships/{}", rob.id());
    is_for_two(&town.set(&rob, json!({ "filters": { "market_id_in": ["eu", "us"] } })).await);
    is_for_two(&town.set(&rob, json!({ "filters": {} })).await);
    is_for_two(&town.give(&rob, "acme.admin").await);
    let window = town.credential("sales_channel", None).await;
    is_done(&window);
    is_for_two(&town.bundle("m-rob", &window.id(), "acme.packer", json!({})).await);
    is_done(&town.bundle("m-rob", &window.id(), &catalogue, json!({})).await);
    // The last one gone leaves none, and no one admin opens all of them again.
    is_done(&town.delete("ann", &beside).await);
    is_for_two(&town.set("memberships/m-dan", json!({ "_all_applications": true })).await);
    // What is live beside what is for tests, and an invitation that would be open to everything.
    is_done(&town.set("memberships/m-ann", json!({ "access_scope": "test_access" })).await);
    is_for_two(&town.set("memberships/m-ann", json!({ "access_scope": "all_access" })).await);
    is_for_two(&town.delete("ann", &format!("membership_profiles/{profile}")).await);
    is_done(&town.delete("ann", &format!("memberships/{tester}")).await);
    is_done(&town.delete("ann", &format!("membership_profiles/{profile}")).await);
}

#[actix_web::test]
async fn an_application_is_given_no_more_by_one_admin() {
    let town = Town::new();
    let catalogue = town.catalogue().await;
    town.ask_for_two().await;
    for role in ["acme.read_only", "acme.packer"] {
        is_for_two(&town.credential("integration", Some(role)).await);
    }
    let new = town.credential("integration", Some(&catalogue)).await;
    is_done(&new);
    is_for_two(&town.give(&format!("api_credentials/{}", new.id()), "acme.packer").await);
    // What it may do stays as it is.
    for kept in [json!({ "_disable": true }), json!({ "_enable": true }), json!({ "_rotate_secret": true })] {
        is_done(&town.set("api_credentials/app-robot", kept).await);
    }
    is_done(&town.give("api_credentials/app-robot", &catalogue).await);
    is_for_two(&town.give("api_credentials/app-robot", "acme.packer").await);
    // A role that is made anew under the name of one that was deleted is another role.
    is_done(&town.delete("ann", "roles/acme.packer").await);
    let packer = town.new_role("packer").await;
    is_done(&town.give("api_credentials/app-robot", &packer).await);
    let related = json!({ "role": format!("roles {packer}") });
    let more =
        town.post("ann", "permissions", json!({ "subject": "orders", "can_read": true }), related).await;
    assert_eq!(more.status, 403, "{}", more.body);
    assert!(more.body.contains("organizations permit"), "{}", more.body);
}
