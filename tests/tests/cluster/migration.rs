//! Tables change while servers work: a release only ever adds (docs/decisions/0019), so the release before goes
//! on over the tables of the next one.

use std::path::Path;
use std::time::Duration;

use portcullis_tests::Ground;
use portcullis_tests::cluster::Cluster;
use portcullis_tests::ground::say;

use super::traffic::Traffic;

pub async fn four_servers_start_at_once_over_an_empty_database(ground: &Ground) {
    let mut cluster = Cluster::prepare_empty(ground, 4).await;
    for member in &mut cluster.members {
        member.launch();
    }
    for at in 0..4 {
        cluster.wait_until_led_to(at);
    }
    for member in &cluster.members {
        let said = member.said();
        assert!(!said.contains("ERROR"), "{said}");
    }
}

pub async fn servers_go_on_while_the_next_release_adds_to_the_tables(ground: &Ground) {
    let mut cluster = Cluster::prepare(ground, 2).await;
    cluster.start();
    let traffic = Traffic::begin(&cluster.issuer(), 2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    for statement in the_next_release() {
        cluster.plot.run(&statement).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // This release starts over the tables of the next: a rollout can be taken back.
    cluster.members[0].terminate();
    cluster.members[0].start();
    cluster.wait_until_led_to(0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let tally = traffic.end().await;
    say(&format!(
        "cluster: tables changed under two servers; requests sent {}, failed {}",
        tally.sent,
        tally.failed.len()
    ));
    assert!(tally.failed.is_empty(), "{:#?}", tally.failed);
    assert!(tally.sent > 50, "that was no traffic: {}", tally.sent);
}

/// Everything that a migration may do, done to every table that there is.
fn the_next_release() -> Vec<String> {
    let mut statements = vec!["CREATE TABLE next_release (id TEXT NOT NULL PRIMARY KEY)".to_owned()];
    for table in tables() {
        statements.push(format!("ALTER TABLE {table} ADD COLUMN next_text TEXT"));
        statements.push(format!("ALTER TABLE {table} ADD COLUMN next_count BIGINT NOT NULL DEFAULT 0"));
        statements.push(format!("CREATE INDEX {table}_next ON {table} (next_text)"));
    }
    statements.push("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')".to_owned());
    statements
}

/// What the migrations make.
fn tables() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/store/migrations");
    let steps = std::fs::read_dir(folder).expect("the migrations are there");
    let texts = steps.map(|step| {
        std::fs::read_to_string(step.expect("it reads").path().join("up.sql")).expect("each has its SQL")
    });
    let tables: Vec<_> = texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split(' ').next().map(str::to_owned))
        .collect();
    assert!(tables.len() > 10, "{tables:?}");
    tables
}
