//! `docs/operations.md` is made of commands, and here they are run, in their order, by those whom it names.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::{BACKEND, STOREFRONT, kid_of};
use portcullis_tests::office::Colleague;
use portcullis_tests::program::command;
use portcullis_tests::{Ground, Town};

const PAGE: &str = include_str!("../../../docs/operations.md");
/// One for each block of the page: whoever adds one looks here.
const BLOCKS: usize = 38;

/// Commands and who types them.
struct Block {
    who: String,
    commands: Vec<String>,
}

fn blocks() -> Vec<Block> {
    let all = PAGE.split("```sh\n").skip(1).map(|rest| {
        let text = rest.split("```").next().expect("split gives at least one");
        let mut lines = text.lines();
        let who = lines.next().and_then(|line| line.strip_prefix("# ")).expect("a block says who types it");
        let commands = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Block { who: who.into(), commands }
    });
    all.collect()
}

/// Those who type, and the names that they use.
struct Crew {
    operator: Colleague,
    approver: Colleague,
    owner: Colleague,
    names: BTreeMap<&'static str, String>,
}

impl Crew {
    fn token(&self, who: &str) -> &str {
        match who {
            "as an operator" => &self.operator.token,
            "as an approver" => &self.approver.token,
            "as an owner, alone" => &self.owner.token,
            "on the server" => "",
            other => panic!("the page names {other:?}, whom this test does not know"),
        }
    }

    /// Runs one line of the page in a shell that finds our programs.
    fn type_in(&self, town: &Town, who: &str, line: &str) -> Output {
        let program = command("portcullis");
        let folder =
            Path::new(program.get_program()).parent().expect("a program lies in a folder").to_owned();
        let mut shell = std::process::Command::new("sh");
        shell.env_clear().args(["-euc", line]).envs(&self.names);
        shell.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
        shell.env("PORTCULLIS_ADMIN_URL", town.office()).env("PORTCULLIS_ADMIN_TOKEN", self.token(who));
        shell.env("PORTCULLIS__KEYS__DIRECTORY", &town.settings.keys.directory);
        shell.env("PORTCULLIS__STORE__URL", &town.settings.store.url);
        shell.output().expect("sh runs")
    }

    /// The invitation that is open, if one is.
    async fn invited(&self) -> String {
        let open = self.operator.get("/people/invitations").await.with_status(200).json();
        open["invitations"][0]["id"].as_str().unwrap_or_default().to_owned()
    }

    async fn newest(&self, list: &str) -> String {
        let listed = self.approver.get("/proposals?open=true").await.with_status(200).json();
        listed[list][0]["id"].as_str().unwrap_or_default().to_owned()
    }
}

pub async fn the_page_on_operations_does_what_it_says(ground: &Ground) {
    let mut town = Town::open_with_office(ground).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    town.until_shop_has_reported().await;
    let folder = Path::new(&town.settings.keys.directory).parent().unwrap().to_owned();
    let token = town.client_token(&BACKEND).await;
    let names = [
        ("OWNER", "ringo@example.com".to_owned()),
        ("CLIENT", "backend".into()),
        ("ROLE", "acme/support".into()),
        ("ORGANIZATION", "acme".into()),
        ("OLD_KEY", kid_of(&token)),
        ("PERSON", "custJaneAA".into()),
        ("MEMBER", "userRingoA".into()),
        ("CUSTOMER", "custRobAAA".into()),
        ("ADDRESS", "@example.com".into()),
        ("NEWCOMER", "zoe@example.com".into()),
        ("FIRST", "first@example.com".into()),
        ("SECOND", "second@example.com".into()),
        ("MEMBERS_ROLE", "support".into()),
        ("RECRUIT", "george@example.com".into()),
        ("FOLDER", folder.display().to_string()),
        ("TOKEN", token),
    ];
    let mut crew = Crew {
        operator: town.operator(OperatorRole::Operator).await,
        approver: town.operator(OperatorRole::Approver).await,
        owner: town.operator(OperatorRole::Owner).await,
        names: names.into(),
    };
    crew.names.insert("REVIEWER", crew.operator.id.clone());
    let listed = crew.operator.get("/applications/backend/secrets").await.with_status(200).json();
    let secret = listed["secrets"][0]["id"].as_str().expect("it has one").to_owned();
    crew.names.insert("SECRET", secret);
    crew.names.insert("COLLEAGUE", town.operator(OperatorRole::Auditor).await.email);
    let jane = town.jane(&STOREFRONT).await.access_token();
    let blocks = blocks();
    assert_eq!(blocks.len(), BLOCKS);
    for Block { who, commands } in blocks {
        crew.names.insert("PROPOSAL", crew.newest("proposals").await);
        crew.names.insert("GLASS", crew.newest("broken_glass").await);
        crew.names.insert("INVITATION", crew.invited().await);
        for line in commands {
            let seen = crew.type_in(&town, &who, &line);
            let said = String::from_utf8_lossy(&seen.stdout).into_owned();
            assert!(seen.status.success(), "{line}\n{said}{}", String::from_utf8_lossy(&seen.stderr));
            if let Some(rest) = said.strip_prefix("Opened ") {
                crew.begin_review(rest.split(':').next().unwrap_or_default()).await;
            }
        }
    }
    assert!(!town.is_active(&jane).await);
    for file in ["held.json", "review.html", "review.csv", "audit.csv"] {
        assert!(folder.join(file).metadata().unwrap().len() > 100, "{file}");
    }
    let audit = town.look(async |store| store.audit_page(0, 100_000).await.unwrap()).await;
    let count = |event: &str| audit.iter().filter(|entry| entry.record.event == event).count();
    assert_eq!((count("person.offboarded"), count("break_glass.used")), (2, 1));
    assert_eq!((count("cut.made"), count("break_glass.acknowledged")), (8, 1));
}

impl Crew {
    /// Names the lines of a review that was opened: one to withdraw, and those that stay.
    async fn begin_review(&mut self, review: &str) {
        let seen = self.operator.get(&format!("/reviews/{review}")).await.with_status(200).json();
        let lines = seen["lines"].as_array().unwrap();
        let (gone, kept): (Vec<_>, Vec<_>) = lines.iter().partition(|it| it["access"]["id"] == "backend");
        let numbers = |list: &[&serde_json::Value]| {
            list.iter().map(|it| it["n"].to_string()).collect::<Vec<_>>().join(" ")
        };
        self.names.insert("REVIEW", review.to_owned());
        self.names.insert("ROW", numbers(&gone));
        self.names.insert("ROWS", numbers(&kept));
    }
}
