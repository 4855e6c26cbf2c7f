//! How operators come to have an account, and what they change of it: nobody but its owner ever knows a password
//! or a seed, and a session that was left open changes neither.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use portcullis::testing::Scratch;
use portcullis_authority::operators::OperatorRole;
use portcullis_tests::office::{Colleague, code_of};
use portcullis_tests::program::command;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::{Value, json};

const STEP: u64 = 30;

async fn invite(owner: &Colleague, email: &str, roles: &[&str]) -> Answer {
    owner.post("/invitations", &json!({ "email": email, "roles": roles })).await
}

/// How often something was written down.
async fn noted(town: &Town, event: &'static str) -> usize {
    let all = town.look(async |store| store.audit_page(0, 10_000).await.expect("the audit reads")).await;
    all.iter().filter(|entry| entry.record.event == event).count()
}

pub async fn the_invited_choose_what_nobody_else_knows(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    town.wait_for_a_fresh_step().await;
    let owner = town.operator(OperatorRole::Owner).await;
    let made = invite(&owner, "Zoe@Town.test", &["operator", "auditor"]).await.with_status(201);
    let code = made.text("code");
    assert!(code.starts_with("pci_"), "{made:?}");
    let listed = owner.get("/invitations").await.with_status(200);
    assert_eq!(listed.json()["invitations"][0]["email"], "zoe@town.test");
    assert!(!listed.body.contains(&code), "a code is shown once");
    let mut zoe = Colleague::stranger(&town, "zoe@town.test");
    zoe.password = "password1234".into();
    let weak = zoe.accept(&code, town.now()).await.with_status(422);
    assert_eq!(weak.json()["errors"][0]["pointer"], "#/password");
    zoe.password = "copper kettle on the landing".into();
    let accepted = zoe.accept(&code, town.now()).await.with_status(201);
    assert_eq!(accepted.json()["roles"], json!(["operator", "auditor"]));
    // The code that enrolled is spent; so it comes in by the next one.
    zoe.sign_in(&zoe.code(town.now())).await.with_status(401);
    zoe.token = zoe.sign_in(&zoe.code(town.now() + STEP)).await.with_status(201).text("token");
    assert_eq!(zoe.get("/sessions/current").await.with_status(200).json()["recovery_codes"], 10);
    assert_eq!((noted(&town, "operator.invited").await, noted(&town, "operator.created").await), (1, 2));
    // Whoever invites makes no second person of the invited.
    let everything = json!({ "kind": "organization", "id": "acme", "reason": "drill" });
    let approver = invite(&owner, "max@town.test", &["approver"]).await.with_status(201).text("code");
    let mut max = Colleague::stranger(&town, "max@town.test");
    max.accept(&approver, town.now()).await.with_status(201);
    max.token = max.sign_in(&max.code(town.now() + STEP)).await.with_status(201).text("token");
    let proposal = owner.post("/cuts", &everything).await.with_status(200).json()["proposal"].clone();
    let path = format!("/proposals/{}/approve", proposal["id"].as_str().unwrap());
    max.post(&path, &json!({ "digest": proposal["digest"] })).await.with_status(403);
}

pub async fn an_invitation_works_once_and_only_while_it_stands(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let ann = town.operator(OperatorRole::Operator).await;
    invite(&ann, "zoe@town.test", &["operator"]).await.with_status(403);
    invite(&owner, &ann.email, &["operator"]).await.with_status(409);
    invite(&owner, "zoe@town.test", &[]).await.with_status(422);
    invite(&owner, "zoe", &["operator"]).await.with_status(422);
    let made = invite(&owner, "zoe@town.test", &["operator"]).await.with_status(201);
    invite(&owner, "zoe@town.test", &["owner"]).await.with_status(409);
    let mut zoe = Colleague::stranger(&town, "zoe@town.test");
    let unknown = zoe.accept("pci_nobody", town.now()).await.with_status(404);
    zoe.accept(&made.text("code"), town.now()).await.with_status(201);
    let again = zoe.accept(&made.text("code"), town.now()).await.with_status(404);
    assert_eq!(unknown.body, again.body, "nobody learns why");
    let second = invite(&owner, "max@town.test", &["operator"]).await.with_status(201);
    let path = format!("/invitations/{}", second.text("id"));
    ann.delete(&path).await.with_status(403);
    owner.delete(&path).await.with_status(204);
    owner.delete(&path).await.with_status(404);
    let mut max = Colleague::stranger(&town, "max@town.test");
    max.accept(&second.text("code"), town.now()).await.with_status(404);
    // What an owner gave ends with the owner.
    let other = Colleague::make(&town, "other@town.test", &[OperatorRole::Owner]).await;
    let mut other = other;
    other.token = other.sign_in(&other.code(town.now())).await.with_status(201).text("token");
    let third = invite(&other, "max@town.test", &["operator"]).await.with_status(201);
    owner.post(&format!("/operators/{}/disable", other.id), &json!({})).await.with_status(200);
    max.accept(&third.text("code"), town.now()).await.with_status(404);
}

pub async fn an_invitation_expires(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let body = json!({ "email": "zoe@town.test", "roles": ["operator"], "lifetime": 600 });
    let code = owner.post("/invitations", &body).await.with_status(201).text("code");
    town.clock.forward(600);
    let mut zoe = Colleague::stranger(&town, "zoe@town.test");
    let late = zoe.accept(&code, town.now()).await.with_status(404);
    assert!(late.text("detail").contains("expired"), "{late:?}");
    assert_eq!(owner.get("/invitations").await.json()["invitations"], json!([]));
}

pub async fn a_password_of_ones_own_takes_the_present_one_and_a_code(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    town.wait_for_a_fresh_step().await;
    let mut ann = town.operator(OperatorRole::Operator).await;
    let elsewhere = ann.sign_in(&ann.recovery[0]).await.with_status(201).text("token");
    let change = async |ann: &Colleague, password: &str, code: &str, new: &str| {
        let body = json!({ "password": password, "code": code, "new_password": new });
        ann.put("/account/password", &body).await
    };
    let (old, new) = (ann.password.clone(), "copper kettle on the landing");
    change(&ann, "hush-not-this", &ann.recovery[1], new).await.with_status(422);
    change(&ann, &old, "000000", new).await.with_status(422);
    let weak = change(&ann, &old, &ann.recovery[1], "password1234").await.with_status(422);
    assert_eq!(weak.json()["errors"][0]["pointer"], "#/new_password");
    // The code of this step came in already.
    change(&ann, &old, &ann.code(town.now()), new).await.with_status(422);
    change(&ann, &old, &ann.recovery[1], new).await.with_status(204);
    ann.get("/sessions/current").await.with_status(200);
    ann.token = elsewhere;
    ann.get("/sessions/current").await.with_status(401);
    ann.sign_in(&ann.recovery[2]).await.with_status(401);
    ann.password = new.into();
    ann.sign_in(&ann.recovery[1]).await.with_status(401);
    ann.sign_in(&ann.recovery[2]).await.with_status(201);
    assert_eq!(
        (noted(&town, "operator.password").await, noted(&town, "operator.account.refused").await),
        (1, 3)
    );
}

pub async fn another_second_factor_takes_the_present_one(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    town.wait_for_a_fresh_step().await;
    let mut ann = town.operator(OperatorRole::Operator).await;
    let old = ann.code(town.now() + STEP);
    ann.renew_factor("000000", town.now()).await.with_status(422);
    let (first, second) = (ann.recovery[0].clone(), ann.recovery[1].clone());
    ann.renew_factor(&first, town.now()).await.with_status(200);
    ann.sign_in(&old).await.with_status(401);
    ann.sign_in(&second).await.with_status(401);
    ann.sign_in(&ann.code(town.now())).await.with_status(401);
    ann.sign_in(&ann.code(town.now() + STEP)).await.with_status(201);
    ann.sign_in(&ann.recovery[0]).await.with_status(201);
    assert_eq!(noted(&town, "operator.second_factor").await, 1);
    // An offer is for the account that it was made to.
    let bob = town.operator(OperatorRole::Auditor).await;
    let offer = ann.post("/account/second-factor/offer", &json!({})).await.with_status(200);
    let sent = json!({
        "code": bob.recovery[0], "enrolment": offer.text("enrolment"),
        "first_code": code_of(&offer.text("otpauth"), town.now()),
    });
    bob.put("/account/second-factor", &sent).await.with_status(422);
}

pub async fn new_recovery_codes_end_the_old_ones(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    town.wait_for_a_fresh_step().await;
    let ann = town.operator(OperatorRole::Operator).await;
    let asked = json!({ "code": ann.recovery[0] });
    let made = ann.post("/account/recovery-codes", &asked).await.with_status(200).json();
    ann.post("/account/recovery-codes", &asked).await.with_status(422);
    ann.sign_in(&ann.recovery[1]).await.with_status(401);
    ann.sign_in(made["recovery_codes"][0].as_str().unwrap()).await.with_status(201);
    // The authenticator is the same, and the code that came in first stays spent.
    ann.sign_in(&ann.code(town.now())).await.with_status(401);
    ann.sign_in(&ann.code(town.now() + STEP)).await.with_status(201);
}

pub async fn who_guesses_at_a_session_that_was_left_open_has_to_wait(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    for _ in 0..5 {
        ann.post("/account/recovery-codes", &json!({ "code": "000000" })).await.with_status(422);
    }
    let good = json!({ "code": ann.recovery[0] });
    ann.post("/account/recovery-codes", &good).await.with_status(429);
}

pub async fn a_lost_second_factor_takes_two_persons_and_an_invitation(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let approver = town.operator(OperatorRole::Approver).await;
    let mut ann = town.operator(OperatorRole::Operator).await;
    owner.post(&format!("/operators/{}/invitation", ann.id), &json!({})).await.with_status(409);
    let wish = json!({
        "kind": "operator_second_factor", "what": { "operator": ann.id }, "reason": "her phone fell into the sea",
    });
    let proposal = owner.post("/proposals", &wish).await.with_status(201).json();
    ann.get("/sessions/current").await.with_status(200);
    let path = format!("/proposals/{}/approve", proposal["id"].as_str().unwrap());
    let digest = json!({ "digest": proposal["digest"] });
    owner.post(&path, &digest).await.with_status(403);
    approver.post(&path, &digest).await.with_status(200);
    ann.get("/sessions/current").await.with_status(401);
    ann.sign_in(&ann.code(town.now() + STEP)).await.with_status(401);
    ann.sign_in(&ann.recovery[0]).await.with_status(401);
    let again = format!("/operators/{}/invitation", ann.id);
    let code = owner.post(&again, &json!({})).await.with_status(201).text("code");
    let newer = owner.post(&again, &json!({})).await.with_status(201).text("code");
    ann.accept(&code, town.now()).await.with_status(404);
    // The password stays hers: a code that went astray opens nothing.
    let own = std::mem::replace(&mut ann.password, "copper kettle on the landing".into());
    ann.accept(&newer, town.now()).await.with_status(422);
    ann.password = own;
    ann.accept(&newer, town.now()).await.with_status(201);
    ann.sign_in(&ann.code(town.now() + STEP)).await.with_status(201);
    assert_eq!(noted(&town, "operator.second_factor.reset").await, 1);
    // Nobody shuts out the last owner.
    let last = json!({
        "kind": "operator_second_factor", "what": { "operator": owner.id }, "reason": "drill",
    });
    let proposal = owner.post("/proposals", &last).await.with_status(201).json();
    let path = format!("/proposals/{}/approve", proposal["id"].as_str().unwrap());
    approver.post(&path, &json!({ "digest": proposal["digest"] })).await.with_status(409);
    let nobody = json!({ "kind": "operator_second_factor", "what": { "operator": "x" }, "reason": "drill" });
    owner.post("/proposals", &nobody).await.with_status(404);
}

pub async fn the_invited_come_in_by_the_command_line(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let scratch = Scratch::new();
    let portcullis = |token: &str| {
        let mut program = command("portcullis");
        program.current_dir(scratch.path()).env("PORTCULLIS_ADMIN_URL", town.office());
        program.env("PORTCULLIS_ADMIN_TOKEN", token);
        program
    };
    let run = |token: &str, words: &[&str]| {
        let seen = portcullis(token).args(words).output().expect("it runs");
        let said = String::from_utf8(seen.stdout).expect("text");
        assert!(seen.status.success(), "{words:?} {said}{}", String::from_utf8_lossy(&seen.stderr));
        said
    };
    let invited = run(&owner.token, &["operators", "invite", "zoe@town.test", "--role", "auditor", "--json"]);
    let invited: Value = serde_json::from_str(&invited).expect("JSON");
    assert!(run(&owner.token, &["operators", "invitations"]).contains("zoe@town.test"));
    std::fs::write(scratch.path().join("code"), invited["code"].as_str().unwrap()).unwrap();
    std::fs::write(scratch.path().join("password"), "copper kettle on the landing\n").unwrap();
    let mut accept = portcullis("");
    accept.args(["account", "accept", "--invitation-file", "code", "--password-file", "password"]);
    accept.env_remove("PORTCULLIS_ADMIN_TOKEN");
    let mut accept =
        accept.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(accept.stderr.take().unwrap()).lines().map_while(Result::ok);
    let otpauth =
        lines.find(|line| line.contains("otpauth://")).expect("the authenticator's address is shown");
    writeln!(accept.stdin.take().unwrap(), "{}", code_of(&otpauth, town.now())).unwrap();
    let seen = accept.wait_with_output().unwrap();
    let said = String::from_utf8(seen.stdout).unwrap();
    assert!(seen.status.success() && said.contains("zoe@town.test may come in"), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("  ")).count(), 10);
    assert!(run(&owner.token, &["operators", "invitations"]).contains("There are no open invitations."));
    let ann = town.operator(OperatorRole::Operator).await;
    let codes = run(&ann.token, &["account", "recovery-codes", "--code", &ann.recovery[0]]);
    assert!(codes.starts_with("Recovery codes"), "{codes}");
}
