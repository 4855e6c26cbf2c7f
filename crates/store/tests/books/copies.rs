//! Copies: of one moment, whole, into an empty database of either kind or not at all.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_authority::ledger::Act;
use portcullis_authority::recovery;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::{Registry as _, Scope};
use portcullis_guard::feed::chain;
use portcullis_store::{CopyReader, Imprint, PutBack, Store, StoreSettings, Tray, copy_in};

use crate::bench::{Bench, FEED, NOW, done, family, wall_clock};

/// A copy in memory.
#[derive(Clone, Default)]
struct Copy {
    imprint: Option<Imprint>,
    lines: Vec<String>,
}

impl Tray for Copy {
    fn begin(&mut self, imprint: &Imprint) -> io::Result<()> {
        assert!(self.imprint.replace(imprint.clone()).is_none(), "it begins once");
        Ok(())
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        assert!(!line.contains('\n'));
        self.lines.push(line.into());
        Ok(())
    }
}

impl Copy {
    async fn of(store: &Store) -> Self {
        let mut copy = Self::default();
        store.copy_out(&mut copy).await.expect("the books can be copied");
        copy
    }

    fn imprint(&self) -> &Imprint {
        self.imprint.as_ref().expect("it began")
    }

    /// Puts it into other books, and promotes them.
    async fn put_into(&self, bench: &Bench) -> Result<PutBack, Trouble> {
        let settings = StoreSettings::new(bench.url(), FEED);
        let mut lines = self.lines.iter().map(|line| Ok(line.clone()));
        let then = |_: &portcullis_store::Head| recovery::promotion(NOW, 0, "a test");
        copy_in((&settings, &wall_clock()), self.imprint(), &mut lines, &then).await
    }

    /// The rows of each table.
    fn tables(&self) -> BTreeMap<String, Vec<serde_json::Value>> {
        let (mut tables, mut name) = (BTreeMap::new(), String::new());
        for line in &self.lines {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            match line["table"]["name"].as_str() {
                Some(table) => name = table.to_owned(),
                None if line.is_array() => tables.entry(name.clone()).or_insert_with(Vec::new).push(line),
                None => {}
            }
        }
        tables
    }

    /// What somebody who has no database finds.
    fn read(&self) -> Result<portcullis_store::AuditVerdict, Trouble> {
        let mut reader = CopyReader::new(self.imprint().clone());
        self.lines.iter().try_for_each(|line| reader.take(line))?;
        reader.finish().map(|(_, verdict)| verdict)
    }
}

/// Empty books of both kinds, as far as there are both.
async fn others() -> Vec<Bench> {
    [Some(Bench::sqlite()), Bench::postgres().await].into_iter().flatten().collect()
}

/// Text that one of two JSONs might treat in its own way.
const ODD: &str = r#"quote '' double " back \ slash / tab 	 line
 end é 漢 🦀 {"json": [1, null]} &amp; -- ; $1"#;

async fn filled(bench: &Bench) -> Store {
    let store = bench.open().await;
    store.apply(&crate::registry::set()).await.unwrap();
    for number in 0..3 {
        done(&store, Act::OpenFamily(family(number))).await;
        done(&store, Act::Raise { scope: Scope::Client, id: "shop".into(), exp: NOW }).await;
    }
    let odd = format!(
        "INSERT INTO proposals VALUES \
         ('odd', 'k', '{ODD}', '', 'p', 'r', 1, 2, 's', NULL, NULL, TRUE, NULL, NULL), \
         ('even', 'k', '{{}}', '', 'p', 'r', 1, 2, 's', 'd', -3, FALSE, '', 0); \
         INSERT INTO assertions (client_id, digest, exp) VALUES \
         ('odd', 'most', 9223372036854775807), ('odd', 'least', -9223372036854775808);"
    );
    bench.tamper(&odd).await;
    // More than one step, and keys whose order the two kinds of database see differently.
    for bite in 0..6 {
        let rows: Vec<_> = (0..200)
            .map(|n| format!("('{}{n}', 'd-{bite}', {n})", if n % 2 == 0 { 'a' } else { 'B' }))
            .collect();
        bench.tamper(&format!("INSERT INTO assertions VALUES {}", rows.join(", "))).await;
    }
    store
}

pub async fn a_copy_reads_back_the_same_in_either_kind_of_database(bench: &Bench) {
    let store = filled(bench).await;
    let copy = Copy::of(&store).await;
    assert!(copy.read().unwrap().is_sound());
    assert_eq!(copy.tables()["assertions"].len(), 1202);
    for other in others().await {
        let put = copy.put_into(&other).await.unwrap();
        let again = Copy::of(&other.open().await).await;
        let (before, after) = (copy.tables(), again.tables());
        assert_eq!(put.rows["people"] as usize, before["people"].len());
        for (table, mut rows) in before {
            let mut now = after.get(&table).cloned().unwrap_or_default();
            // Each database has an order of its own.
            rows.sort_by_key(ToString::to_string);
            now.sort_by_key(ToString::to_string);
            let moves = ["audit", "audit_head", "generations", "registry_version", "rv_feed", "rv_log"];
            match moves.contains(&table.as_str()) {
                true => assert!(now.len() >= rows.len(), "{table} only grows"),
                false => assert_eq!(now, rows, "{table}"),
            }
        }
        other.end().await;
    }
}

pub async fn a_copy_that_is_put_back_begins_a_new_epoch_and_ends_the_past(bench: &Bench) {
    let store = filled(bench).await;
    let (before, copy) = (store.head().await.unwrap(), Copy::of(&store).await);
    for other in others().await {
        let put = copy.put_into(&other).await.unwrap();
        let restored = other.open().await;
        let after = restored.head().await.unwrap();
        assert_eq!(put.feeds, [(FEED.to_owned(), after.position)]);
        assert!(after.position.epoch > before.position.epoch);
        assert!(after.position.seq > before.position.seq + 999_999);
        assert_eq!(after.salt, before.salt, "names keep their ids");
        let rows = restored.log_after(before.position.seq, 10).await.unwrap();
        let start = chain::start(FEED, after.position.epoch);
        assert_eq!(after.chain, rows.iter().fold(start, |chain, row| chain::extend(&chain, &row.record)));
        assert!(restored.directory().generation(Scope::Client, "shop") > 1000);
        let verdict = restored.audit_verify(None, Vec::new()).await.unwrap();
        assert!(verdict.is_sound(), "{verdict}");
        let last = restored.audit_page(verdict.good - 1, 1).await.unwrap();
        assert_eq!(last[0].record.event, "feed.promoted");
        other.end().await;
    }
}

pub async fn a_copy_of_books_at_work_is_of_one_moment(bench: &Bench) {
    let store = filled(bench).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (writing, over) = (bench.open().await, stop.clone());
    let writer = tokio::spawn(async move {
        let mut written = 0;
        while !over.load(Ordering::Relaxed) {
            written += 1;
            done(&writing, Act::OpenFamily(family(100 + written))).await;
            done(&writing, Act::Raise { scope: Scope::Client, id: "shop".into(), exp: NOW }).await;
        }
        written
    });
    let mut copies = Vec::new();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        copies.push(Copy::of(&store).await);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 3, "somebody wrote meanwhile");
    let heads: Vec<_> = copies.iter().map(|copy| copy.imprint().audit.0).collect();
    assert!(heads.is_sorted() && heads[0] < heads[2], "{heads:?}");
    for copy in &copies {
        let verdict = copy.read().unwrap();
        assert!(verdict.is_sound(), "{verdict}");
        let tables = copy.tables();
        let raised = tables["rv_log"].iter().filter(|row| row[5] == NOW).count();
        let families = tables["families"].len();
        assert!(raised == families || raised + 1 == families, "one follows the other: {raised} {families}");
    }
    let other = Bench::sqlite();
    copies[1].put_into(&other).await.unwrap();
    let verdict = other.open().await.audit_verify(None, Vec::new()).await.unwrap();
    assert!(verdict.is_sound() && verdict.good > heads[1], "{verdict}");
    other.end().await;
}

pub async fn a_database_that_holds_something_is_left_as_it_is(bench: &Bench) {
    let copy = Copy::of(&filled(bench).await).await;
    let before = Copy::of(&bench.open().await).await.tables();
    let why = copy.put_into(bench).await.unwrap_err().why;
    assert!(why.contains("not empty") && why.contains("Nothing was changed"), "{why}");
    assert_eq!(Copy::of(&bench.open().await).await.tables(), before);
}

pub async fn half_a_copy_is_never_seen(bench: &Bench) {
    let copy = Copy::of(&filled(bench).await).await;
    for other in others().await {
        let lines = copy.lines.len();
        let why = "its end is missing";
        for length in [lines - 1, lines / 2] {
            let half = Copy { lines: copy.lines[..length].to_vec(), ..copy.clone() };
            let said = half.put_into(&other).await.unwrap_err().why;
            assert!(said.contains(why), "{said}");
            assert!(half.read().unwrap_err().why.contains(why));
        }
        let mut fewer = copy.clone();
        fewer.lines.remove(lines - 2);
        assert!(fewer.put_into(&other).await.unwrap_err().why.contains("as many rows"));
        copy.put_into(&other).await.expect("it is as empty as before");
        other.end().await;
    }
}

pub async fn what_does_not_belong_into_the_tables_is_refused(bench: &Bench) {
    let copy = Copy::of(&filled(bench).await).await;
    let other = Bench::sqlite();
    for (from, to, why) in [
        (r#""name":"guards""#, r#""name":"gourds""#, "the table gourds"),
        (r#"["hash","text"]"#, r#"["hush","text"]"#, "guards.hush"),
        (r#"["hash","text"]"#, r#"["hash","bigint"]"#, "guards.hash"),
        (r#"["hash","text"]"#, r#"["hash) SELECT 1; --","text"]"#, "is not in the tables"),
    ] {
        let at = copy.lines.iter().position(|line| line.contains(r#""name":"guards""#)).unwrap();
        let mut changed = copy.clone();
        changed.lines[at] = changed.lines[at].replace(from, to);
        assert_ne!(changed.lines[at], copy.lines[at]);
        let said = changed.put_into(&other).await.unwrap_err().why;
        assert!(said.contains(why), "{said}");
    }
    let mut newer = copy.clone();
    newer.imprint.as_mut().unwrap().migrations.push("9999".into());
    assert!(newer.put_into(&other).await.unwrap_err().why.contains("newer version"));
    let mut elsewhere = copy.clone();
    elsewhere.imprint.as_mut().unwrap().feeds[0].name = "test:two".into();
    assert!(elsewhere.put_into(&other).await.unwrap_err().why.contains("feed.name is test:one"));
    other.end().await;
}

pub async fn an_altered_audit_log_is_found_in_the_copy(bench: &Bench) {
    let store = filled(bench).await;
    bench.tamper_with_audit("UPDATE audit SET event = 'nothing' WHERE seq = 2").await;
    let verdict = Copy::of(&store).await.read().unwrap();
    assert_eq!(verdict.first_bad(), Some(2), "{verdict}");
}
