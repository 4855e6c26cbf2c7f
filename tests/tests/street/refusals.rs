//! What is refused on the command line says so: the exit code for scripts, and a sentence for whoever reads it.

use std::process::Output;

use portcullis::testing::Scratch;
use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::{BACKEND, RIVAL};
use portcullis_tests::office::Colleague;
use portcullis_tests::program::command;
use portcullis_tests::{Ground, Town};
use serde_json::json;

/// What is typed, by whom, and what comes of it.
struct Case {
    what: &'static str,
    /// An operator's token, or a client's secret.
    token: String,
    words: Vec<String>,
    exit: i32,
    sentence: &'static str,
}

fn case(what: &'static str, who: &Colleague, words: &[&str], (exit, sentence): (i32, &'static str)) -> Case {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Case { what, token: who.token.clone(), words, exit, sentence }
}

struct Terminal<'a> {
    town: &'a Town,
    folder: Scratch,
}

impl Terminal<'_> {
    fn type_in(&self, case: &Case) -> Output {
        let mut program = command("portcullis");
        program.args(&case.words).current_dir(self.folder.path());
        program.env("PORTCULLIS_ADMIN_URL", self.town.office()).env("PORTCULLIS_SERVER", self.town.issuer());
        program
            .env("PORTCULLIS_ADMIN_TOKEN", &case.token)
            .env("PORTCULLIS_CLIENT_SECRET", RIVAL.secret.unwrap_or_default());
        program.env("XDG_CONFIG_HOME", self.folder.path()).output().expect("it runs")
    }
}

async fn proposal(by: &Colleague, organization: &str) -> String {
    let body = json!({ "kind": "organization", "id": organization, "reason": "drill" });
    let answer = by.post("/cuts", &body).await.with_status(200).json();
    answer["proposal"]["id"].as_str().expect("it is proposed").to_owned()
}

pub async fn every_refusal_has_its_exit_code_and_its_sentence(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let op = town.operator(OperatorRole::Operator).await;
    let ap = town.operator(OperatorRole::Approver).await;
    let mut both =
        Colleague::make(&town, "both@town.test", &[OperatorRole::Operator, OperatorRole::Approver]).await;
    both.token = both.sign_in(&both.recovery[0]).await.with_status(201).text("token");
    let old = proposal(&op, "rival").await;
    town.clock.forward(15 * 60);
    let own = proposal(&both, "acme").await;
    let listed = op.get("/applications/backend/secrets").await.with_status(200).json();
    let only = listed["secrets"][0]["id"].as_str().expect("it has one").to_owned();
    let spent = both.recovery[0].clone();
    let theirs = town.client_token(&BACKEND).await;
    let terminal = Terminal { town: &town, folder: Scratch::new() };
    std::fs::write(terminal.folder.path().join("password"), &both.password).expect("it is written");
    let cases = [
        case(
            "a wrong role",
            &auditor,
            &["people", "disable", "custJaneAA"],
            (1, "refused (403): Your account may not do this; it takes one of these roles: operator, owner."),
        ),
        case(
            "another organization",
            &auditor,
            &["revoke", "--client-id", RIVAL.id, &theirs],
            (1, "refused (unauthorized_client): "),
        ),
        case(
            "one's own proposal",
            &both,
            &["proposals", "approve", &own],
            (1, "refused (403): You may not approve your own proposal; ask another approver."),
        ),
        case(
            "a proposal that expired",
            &ap,
            &["proposals", "approve", &old],
            (1, "refused (409): The proposal has expired; propose it again."),
        ),
        case(
            "a second factor that was shown before",
            &both,
            &["login", "--email", &both.email, "--password-file", "password", "--code", &spent],
            (
                1,
                "refused (401): The address, the password or the code is wrong, or the code was used before;",
            ),
        ),
        case(
            "one's own second factor, shown before",
            &both,
            &["account", "recovery-codes", "--code", &spent],
            (1, "refused (422): The present password or the code is wrong, or the code was used before;"),
        ),
        case(
            "what is not there",
            &op,
            &["people", "disable", "nobody"],
            (1, "refused (404): There is no such person."),
        ),
        case(
            "the last secret, alone",
            &op,
            &["secrets", "revoke", "backend", &only],
            (1, "refused (409): This is the last live secret, and nobody could come in as the application"),
        ),
        case(
            "a second factor that is not there",
            &op,
            &["people", "second-factor", "userRingoA", "--reset", "--reason", "drill"],
            (1, "refused (409): This person has no second factor."),
        ),
        case("a new secret, without a reason", &op, &["secrets", "rotate", "backend"], (2, "--reason")),
        case("no reason", &op, &["revoke", "person", "custJaneAA"], (2, "--reason")),
        case("no such command", &op, &["people", "teleport"], (2, "unrecognized subcommand")),
    ];
    for case in &cases {
        let seen = terminal.type_in(case);
        let said = String::from_utf8_lossy(&seen.stderr);
        assert_eq!(seen.status.code(), Some(case.exit), "{}: {said}", case.what);
        assert!(said.contains(case.sentence), "{}: {said}", case.what);
        assert!(seen.stdout.is_empty(), "{}: nothing that a script could take for an answer", case.what);
    }
    assert!(town.is_active(&theirs).await, "none of it has ended anything");
}
