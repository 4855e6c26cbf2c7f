//! Cutoffs of every kind fall on the same tokens, in many orders: each ends what it matches from its own
//! moment on, none hides another, and what was issued afterwards lives. The deeds go into the books beside
//! the running server, which has no door for them yet, as another instance's would.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::books;
use portcullis::means::Means;
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Done, Ledger as _};
use portcullis_authority::registry::Scope;
use portcullis_store::Store;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{mended, wait};
use crate::faults::crowd::agent;
use crate::faults::diary::now_ms;
use crate::faults::history::{Answer, Token, Verdict};
use crate::faults::stage::{CONTROLS, Stage, runtime};
use crate::faults::{Plan, Report, Trouble};

/// Keys that are ended, one in each of the first rounds. The others sign with the key that stays.
const DOOMED: [&str; 4] = ["EdDSA", "RS256", "RS512", "PS256"];
/// Rounds without the end of a key.
const MORE_ROUNDS: usize = 4;
const ORGANIZATIONS: [&str; 2] = ["north", "south"];
const CUSTOMERS: [&str; 2] = ["ann", "bob"];
/// How long after the answer the guard may need to hear of a commit by another process: it is looked for
/// four times a second.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// What a cutoff may be about.
#[derive(Clone, Debug, PartialEq)]
enum Cutoff {
    Client(String),
    Organization(String),
    Subject(String),
    Everything,
    Key(String),
}

/// Under which names a token can be ended.
#[derive(Clone, Debug)]
struct Names {
    token: Token,
    client: String,
    organization: String,
    subject: String,
    kid: String,
}

/// From one moment to another, exactly these were to be refused as revoked.
struct Expected {
    from: u64,
    to: u64,
    ended: Vec<Token>,
    alive: Vec<Token>,
}

pub fn composed(plan: &Plan) -> Result<Report, Trouble> {
    let plan = Plan { tokens: 0, ..plan.clone() };
    let mut stage = Stage::set(&plan, "cutoffs", None, &seed())?;
    let _server = stage.server()?;
    stage.man(1)?;
    let runtime = runtime()?;
    let mut trial = Trial {
        store: runtime.block_on(open(&stage))?,
        runtime,
        living: stage.controls().iter().map(|(token, text)| names(*token, text)).collect::<Result<_, _>>()?,
        ended: Vec::new(),
        expected: Vec::new(),
        dice: plan.seed,
    };
    for round in 0..DOOMED.len() + MORE_ROUNDS {
        trial.round(&mut stage, round)?;
    }
    let healed = mended();
    let survivors = stage.crowd.issue(CONTROLS + 1000, 8)?;
    stage.hand(&survivors)?;
    let rush = stage.crowd.revoke(&[], Duration::ZERO);
    let expected = trial.expected;
    let mut report = stage.conclude_with(rush, healed, |history| {
        let wrong = expected.iter().flat_map(|expected| expected.compare(history));
        wrong.collect()
    })?;
    report.complaints.truncate(20);
    Ok(report)
}

/// A run of rounds.
struct Trial {
    store: Store,
    runtime: Runtime,
    living: Vec<Names>,
    ended: Vec<Token>,
    expected: Vec<Expected>,
    dice: u64,
}

impl Trial {
    /// Issues a token for every combination, and lets cutoffs of each kind fall in some order.
    fn round(&mut self, stage: &mut Stage, round: usize) -> Result<(), Trouble> {
        let issued = issue(stage, round)?;
        stage.adopt(&issued)?;
        for (token, text) in &issued {
            self.living.push(names(*token, text)?);
        }
        let begun = now_ms() + 300;
        wait(600);
        self.expect(begun);
        let one = names(issued[0].0, &issued[0].1)?;
        let mut cutoffs = vec![
            Cutoff::Client(one.client),
            Cutoff::Organization(one.organization),
            Cutoff::Subject(one.subject),
            Cutoff::Everything,
        ];
        if round < DOOMED.len() {
            cutoffs.push(Cutoff::Key(one.kid));
        }
        self.shuffle(&mut cutoffs);
        for cutoff in cutoffs {
            self.fall(stage, &cutoff)?;
        }
        Ok(())
    }

    /// Lets one cutoff fall, and waits until the guard has heard of it.
    fn fall(&mut self, stage: &mut Stage, cutoff: &Cutoff) -> Result<(), Trouble> {
        let begun = now_ms();
        let deed = Deed::new(cutoff.act(), AuditRecord { event: "cutoff".into(), ..AuditRecord::default() });
        let done = self.runtime.block_on(self.store.commit(deed)).map_err(|e| Trouble::broken(e.why))?;
        let Done::Committed { position: Some(position) } = done else {
            return Err(Trouble::broken(format!("a cutoff was answered {done:?}")));
        };
        let ended = now_ms();
        let (hit, spared) = self.living.drain(..).partition(|names| cutoff.matches(names));
        self.living = spared;
        for Names { token, .. } in &hit {
            let position = Some(position.to_string());
            stage.history.answers.push(Answer { token: *token, begun, ended, status: Some(200), position });
            self.ended.push(*token);
        }
        stage.wait_for(position.seq, HEARD_WITHIN)?;
        let heard = now_ms();
        wait(250);
        self.expect(heard);
        Ok(())
    }

    /// From then until now everybody is as is known here.
    fn expect(&mut self, from: u64) {
        let alive = self.living.iter().map(|names| names.token).collect();
        self.expected.push(Expected { from, to: now_ms(), ended: self.ended.clone(), alive });
    }

    fn shuffle(&mut self, cutoffs: &mut [Cutoff]) {
        for place in (1..cutoffs.len()).rev() {
            self.dice =
                self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let other = (self.dice >> 33) as usize % (place + 1);
            cutoffs.swap(place, other);
        }
    }
}

impl Cutoff {
    fn act(&self) -> Act {
        let exp = now_ms() / 1000 + 10_000;
        let raise = |scope, id: &str| Act::Raise { scope, id: id.into(), exp };
        match self {
            Self::Client(id) => raise(Scope::Client, id),
            Self::Organization(id) => raise(Scope::Organization, id),
            Self::Subject(id) => raise(Scope::Subject, id),
            Self::Everything => raise(Scope::Everything, ""),
            Self::Key(kid) => Act::EndKey { kid: kid.clone(), exp },
        }
    }

    fn matches(&self, names: &Names) -> bool {
        match self {
            Self::Client(id) => names.client == *id,
            Self::Organization(id) => names.organization == *id,
            Self::Subject(id) => names.subject == *id,
            Self::Everything => true,
            Self::Key(kid) => names.kid == *kid,
        }
    }
}

impl Expected {
    /// What guards said otherwise. A guard that could not know is not at fault here.
    fn compare(&self, history: &crate::faults::history::History) -> Vec<String> {
        let within = history.decisions.iter().filter(|d| d.at >= self.from && d.at < self.to);
        let wrong = within.filter(|d| match d.verdict {
            Verdict::Accepted => self.ended.contains(&d.token),
            Verdict::Revoked | Verdict::KeyGone => self.alive.contains(&d.token),
            Verdict::Stale | Verdict::Expired | Verdict::Other => false,
        });
        let wrong: std::collections::BTreeSet<_> = wrong.map(|d| (d.token, d.verdict)).collect();
        wrong
            .into_iter()
            .map(|(token, verdict)| format!("token {token} was {verdict:?} after a cutoff"))
            .collect()
    }
}

async fn open(stage: &Stage) -> Result<Store, Trouble> {
    let store = books::open(&stage.settings, &Means::system()).await.map_err(|e| Trouble::broken(e.why))?;
    store.on_commit(Arc::new(|_| {}));
    Ok(store)
}

/// Two organizations, in each two customers and, for every round, two clients of the doomed key; and two
/// whose key stays.
fn seed() -> String {
    let mut seed = String::new();
    for organization in ORGANIZATIONS {
        // Writing to a text cannot fail.
        let _ = writeln!(seed, "[[organizations]]\nslug = \"{organization}\"");
        for customer in CUSTOMERS {
            let _ = writeln!(
                seed,
                "[[customers]]\norganization = \"{organization}\"\nid = \"{organization}{customer}\"\nemail = \"{customer}@{organization}.example\"\npassword = \"open\""
            );
        }
        for (round, algorithm) in DOOMED.iter().enumerate() {
            for client in ["one", "two"] {
                seed.push_str(&application(organization, &format!("{client}{round}"), algorithm));
            }
        }
        for client in ["one", "two"] {
            seed.push_str(&application(organization, client, "ES256"));
        }
    }
    seed
}

fn application(organization: &str, name: &str, algorithm: &str) -> String {
    format!(
        "[[applications]]\norganization = \"{organization}\"\nclient_id = \"{organization}-{name}\"\nkind = \"sales_channel\"\npassword_grant = true\nalgorithm = \"{algorithm}\"\n"
    )
}

/// A token for every customer through every client of the round.
fn issue(stage: &Stage, round: usize) -> Result<Vec<(Token, String)>, Trouble> {
    let agent = agent();
    let mut issued = Vec::new();
    for organization in ORGANIZATIONS {
        let doomed = ["one", "two"].map(|client| format!("{organization}-{client}{round}"));
        let lasting = ["one", "two"].map(|client| format!("{organization}-{client}"));
        let clients = doomed.iter().filter(|_| round < DOOMED.len()).chain(&lasting);
        for (client, customer) in clients.flat_map(|client| CUSTOMERS.map(|customer| (client, customer))) {
            let username = format!("{customer}@{organization}.example");
            let form = [
                ("grant_type", "password"),
                ("client_id", client),
                ("username", &username),
                ("password", "open"),
            ];
            let number = Token::try_from(round * 100 + issued.len()).map_err(Trouble::broken)?;
            issued.push((number, stage.crowd.token(&agent, &form)?));
        }
    }
    Ok(issued)
}

fn names(token: Token, text: &str) -> Result<Names, Trouble> {
    let part = |place: usize| -> Option<Value> {
        let bytes = URL_SAFE_NO_PAD.decode(text.split('.').nth(place)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    let (Some(header), Some(claims)) = (part(0), part(1)) else { return Err(Trouble::broken("no token")) };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Names {
        token,
        client: word(&claims["client_id"]),
        organization: word(&claims["organization"]["id"]),
        subject: word(&claims["sub"]),
        kid: word(&header["kid"]),
    })
}
