//! Nothing is changed and nobody is shown without a record: every call of the operators' API is made once by somebody
//! who may and once by somebody who may not. A call that is added and not made here fails these rules, and so does one
//! that leaves no record. What goes over the public listener is in `records.rs`.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_authority::events::EVENTS;
use portcullis_authority::ledger::{Act, FactorAct, PersonFactor, Session};
use portcullis_authority::operators::OperatorRole;
use portcullis_store::AuditEntry;
use portcullis_tests::client::STOREFRONT;
use portcullis_tests::office::{Colleague, code_of};
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

const JANE: &str = "custJaneAA";
const BASE: &str = "/admin/v1";

/// Calls that change something of no account and leave nothing: each says why.
const SILENT: &[(&str, &str)] = &[
    ("POST /account/second-factor/offer", "nothing changes until the offer is confirmed"),
    ("POST /invitations/open", "nothing changes until the invitation is accepted"),
];

/// Where operators are named to each other.
const COLLEAGUES: [&str; 4] =
    ["GET /operators", "GET /sessions", "GET /sessions/current", "GET /invitations"];

/// A call that was made.
struct Made {
    call: &'static str,
    request_id: String,
    actor: String,
    /// An e-mail address was in the answer.
    shows: bool,
    leaves: Vec<&'static str>,
}

/// What is called, and what must come of it.
struct Call<'a> {
    who: &'a Colleague,
    call: &'static str,
    /// For the names in braces, in their order.
    parts: Vec<String>,
    body: Value,
    leaves: Vec<&'static str>,
}

impl<'a> Call<'a> {
    fn of(who: &'a Colleague, call: &'static str) -> Self {
        Self { who, call, parts: Vec::new(), body: json!({}), leaves: Vec::new() }
    }

    fn at(mut self, part: impl ToString) -> Self {
        self.parts.push(part.to_string());
        self
    }

    fn with(self, body: Value) -> Self {
        Self { body, ..self }
    }

    fn leaves(self, events: &[&'static str]) -> Self {
        Self { leaves: events.to_vec(), ..self }
    }
}

/// Everything that was called so far.
#[derive(Default)]
struct Walk(Vec<Made>);

impl Walk {
    async fn make(&mut self, call: Call<'_>) -> Answer {
        let (method, path) = call.call.split_once(' ').expect("a method and a path");
        let mut parts = call.parts.into_iter();
        let path: Vec<String> = path
            .split('/')
            .map(|part| match part.starts_with('{') {
                true => parts.next().expect("every name has its part"),
                false => part.to_owned(),
            })
            .collect();
        let method: Method = method.parse().expect("a method");
        let request = call.who.request(method.clone(), &path.join("/"));
        let request = if method == Method::GET { request } else { request.json(&call.body) };
        let answer = Answer::to(request).await;
        assert!((200..300).contains(&answer.status), "{}: {answer:?}", call.call);
        self.0.push(Made {
            call: call.call,
            request_id: answer.header("x-request-id").to_owned(),
            actor: format!("operator:{}", call.who.id),
            shows: answer.body.contains('@'),
            leaves: call.leaves,
        });
        answer
    }

    /// Every call has left what it must, and nothing else.
    fn check(&self, log: &[AuditEntry]) {
        let wrong: Vec<String> = self.0.iter().flat_map(|made| made.wrongs(log)).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

impl Made {
    fn wrongs(&self, log: &[AuditEntry]) -> Vec<String> {
        let id = Some(self.request_id.as_str());
        let theirs: Vec<_> = log.iter().filter(|entry| entry.record.request_id.as_deref() == id).collect();
        let mut left: Vec<_> = theirs.iter().map(|entry| entry.record.event.as_str()).collect();
        let mut expected = self.leaves.clone();
        left.sort_unstable();
        expected.sort_unstable();
        let call = self.call;
        let mut wrong = Vec::new();
        if left != expected {
            wrong.push(format!("{call} left {left:?} and not {expected:?}"));
        }
        if theirs.iter().any(|entry| !entry.record.actors.contains(&self.actor)) {
            wrong.push(format!("{call} does not name {} in {theirs:?}", self.actor));
        }
        let reads = call.starts_with("GET");
        if reads && self.shows && expected.is_empty() && !COLLEAGUES.contains(&call) {
            wrong.push(format!("{call} shows an address and leaves nothing"));
        }
        if !reads && expected.is_empty() && !SILENT.iter().any(|(silent, _)| *silent == call) {
            wrong.push(format!("{call} changes something and leaves nothing"));
        }
        wrong
    }
}

/// The whole log; every event in it is told of.
pub async fn log_of(town: &Town) -> Vec<AuditEntry> {
    let log = town.look(async |store| store.audit_page(0, 100_000).await.expect("it reads")).await;
    let told: BTreeSet<_> = EVENTS.iter().map(|(name, _)| *name).collect();
    for entry in &log {
        let event = entry.record.event.as_str();
        assert!(told.contains(event) || event == "test", "{event} is not in the list of events");
    }
    log
}

/// Every call of the document with the roles that may make it.
async fn document(who: &Colleague) -> BTreeMap<String, Vec<String>> {
    let document = who.get("/openapi.json").await.with_status(200).json();
    let mut calls = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path.strip_prefix(BASE).expect("below the base");
        for (method, operation) in item.as_object().expect("operations") {
            let roles = operation["x-roles"].as_array().into_iter().flatten();
            let roles = roles.filter_map(Value::as_str).map(str::to_owned).collect();
            calls.insert(format!("{} {path}", method.to_uppercase()), roles);
        }
    }
    calls
}

pub async fn every_refusal_for_a_role_is_written_down(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let mut expected = Vec::new();
    let mut refused = 0;
    let owner = town.operator(OperatorRole::Owner).await;
    let calls = document(&owner).await;
    for role in OperatorRole::ALL {
        let who = match role {
            OperatorRole::Owner => &owner,
            _ => &town.operator(role).await,
        };
        for (call, roles) in calls.iter().filter(|(_, roles)| !roles.is_empty()) {
            if roles.iter().any(|may| may == role.as_str()) {
                continue;
            }
            let (method, path) = call.split_once(' ').expect("a method and a path");
            let path = path.replace(['{', '}'], "");
            let request = who.request(method.parse().expect("a method"), &path).json(&json!({}));
            Answer::to(request).await.with_status(403);
            expected.push((format!("operator:{}", who.id), call.clone()));
            refused += 1;
        }
    }
    assert!(refused > 40, "{refused}");
    let log = log_of(&town).await;
    let told = log.iter().filter(|entry| entry.record.event == "operator.refused");
    let mut told: Vec<_> = told
        .map(|entry| {
            let detail: Value =
                serde_json::from_str(entry.record.detail.as_deref().expect("a detail")).expect("JSON");
            (entry.record.actors[0].clone(), detail["call"].as_str().expect("a call").to_owned())
        })
        .collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

pub async fn every_call_that_changes_or_shows_somebody_leaves_its_record(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let crew = Crew {
        owner: town.operator(OperatorRole::Owner).await,
        operator: town.operator(OperatorRole::Operator).await,
        approver: town.operator(OperatorRole::Approver).await,
        auditor: town.operator(OperatorRole::Auditor).await,
    };
    let mut walk = Walk::default();
    colleagues(&town, &crew, &mut walk).await;
    people(&town, &crew, &mut walk).await;
    applications_and_the_log(&crew, &mut walk).await;
    newcomers(&crew.operator, &mut walk).await;
    reviews(&crew, &mut walk).await;
    orders(&crew, &mut walk).await;
    walk.check(&log_of(&town).await);
    let made: BTreeSet<String> = walk.0.iter().map(|made| made.call.to_owned()).collect();
    let all: BTreeSet<String> = document(&crew.owner).await.into_keys().collect();
    let missing: Vec<_> = all.difference(&made).filter(|call| *call != "GET /openapi.json").collect();
    assert!(missing.is_empty(), "nobody looks whether these leave their record: {missing:?}");
}

struct Crew {
    owner: Colleague,
    operator: Colleague,
    approver: Colleague,
    auditor: Colleague,
}

/// Operators, their sessions, accounts and invitations.
async fn colleagues(town: &Town, crew: &Crew, walk: &mut Walk) {
    let owner = &crew.owner;
    let mut dave = Colleague::make(town, "dave@town.test", &[OperatorRole::Auditor]).await;
    let shown = json!({ "email": dave.email, "password": dave.password, "code": dave.recovery[0] });
    let entered = walk.make(Call::of(&dave, "POST /sessions").with(shown).leaves(&["operator.login"])).await;
    dave.token = entered.text("token");
    let listed = walk.make(Call::of(owner, "GET /sessions")).await.json();
    let of_dave =
        listed["sessions"].as_array().expect("a list").iter().find(|it| it["operator"] == dave.id[..]);
    let session = of_dave.expect("he is in")["id"].as_str().expect("an id").to_owned();
    walk.make(Call::of(&dave, "GET /sessions/current")).await;
    let end = Call::of(owner, "DELETE /sessions/{session}").at(session);
    walk.make(end.leaves(&["operator.session.ended"])).await;
    dave.token = dave.sign_in(&dave.recovery[1]).await.with_status(201).text("token");
    let change = json!({ "password": dave.password, "code": dave.recovery[2], "new_password": "copper kettle on the landing" });
    walk.make(Call::of(&dave, "PUT /account/password").with(change).leaves(&["operator.password"])).await;
    let offer = walk.make(Call::of(&dave, "POST /account/second-factor/offer")).await;
    let enrol = json!({
        "code": dave.recovery[3],
        "enrolment": offer.text("enrolment"),
        "first_code": code_of(&offer.text("otpauth"), town.now()),
    });
    let enrolled =
        Call::of(&dave, "PUT /account/second-factor").with(enrol).leaves(&["operator.second_factor"]);
    let codes = walk.make(enrolled).await.json()["recovery_codes"].clone();
    let fresh = Call::of(&dave, "POST /account/recovery-codes").with(json!({ "code": codes[0] }));
    walk.make(fresh.leaves(&["operator.recovery_codes"])).await;
    walk.make(Call::of(&dave, "DELETE /sessions/current").leaves(&["operator.logout"])).await;
    walk.make(Call::of(owner, "GET /operators")).await;
    let roles = Call::of(owner, "PUT /operators/{operator}/roles").at(&dave.id);
    walk.make(roles.with(json!({ "roles": ["operator"] })).leaves(&["operator.roles"])).await;
    let disable = Call::of(owner, "POST /operators/{operator}/disable").at(&dave.id);
    walk.make(disable.leaves(&["operator.disabled"])).await;
    let enable = Call::of(owner, "POST /operators/{operator}/enable").at(&dave.id);
    walk.make(enable.leaves(&["operator.enabled"])).await;
    invitations(town, crew, walk).await;
    lost_factor(crew, walk, &dave).await;
}

async fn invitations(town: &Town, crew: &Crew, walk: &mut Walk) {
    let owner = &crew.owner;
    let draft = json!({ "email": "zoe@town.test", "roles": ["auditor"] });
    let invite = || Call::of(owner, "POST /invitations").with(draft.clone()).leaves(&["operator.invited"]);
    walk.make(invite()).await;
    let listed = walk.make(Call::of(owner, "GET /invitations")).await.json();
    let id = listed["invitations"][0]["id"].as_str().expect("an id").to_owned();
    let withdraw = Call::of(owner, "DELETE /invitations/{invitation}").at(id);
    walk.make(withdraw.leaves(&["operator.uninvited"])).await;
    let code = walk.make(invite()).await.text("code");
    let mut zoe = Colleague::stranger(town, "zoe@town.test");
    let opened = walk.make(Call::of(&zoe, "POST /invitations/open").with(json!({ "code": code }))).await;
    let accept = json!({
        "code": code,
        "password": "copper kettle on the landing",
        "enrolment": opened.text("enrolment"),
        "first_code": code_of(&opened.text("otpauth"), town.now()),
    });
    let accepted = Call::of(&zoe, "POST /invitations/accept").with(accept).leaves(&["operator.created"]);
    zoe.id = walk.make(accepted).await.text("operator");
    // Who accepts has become somebody by it.
    walk.0.last_mut().expect("a call").actor = format!("operator:{}", zoe.id);
}

/// A second factor is lost: two take it away, and an owner invites again.
async fn lost_factor(crew: &Crew, walk: &mut Walk, dave: &Colleague) {
    let wish =
        json!({ "kind": "operator_second_factor", "what": { "operator": dave.id }, "reason": "drill" });
    let proposal = crew.operator.post("/proposals", &wish).await.with_status(201).json();
    let path = format!("/proposals/{}/approve", proposal["id"].as_str().expect("an id"));
    crew.approver.post(&path, &json!({ "digest": proposal["digest"] })).await.with_status(200);
    let again = Call::of(&crew.owner, "POST /operators/{operator}/invitation").at(&dave.id);
    walk.make(again.leaves(&["operator.invited"])).await;
}

async fn people(town: &Town, crew: &Crew, walk: &mut Walk) {
    const READ: &[&str] = &["personal_data.read"];
    let op = &crew.operator;
    walk.make(Call::of(op, "GET /people").leaves(READ)).await;
    let draft = json!({ "kind": "user", "email": "new@example.com", "make_password": true });
    let made = walk.make(Call::of(op, "POST /people").with(draft).leaves(&["person.created"])).await.json();
    let new = made["person"]["id"].as_str().or(made["id"].as_str()).expect("an id").to_owned();
    walk.make(Call::of(op, "GET /people/{person}").at(&new).leaves(READ)).await;
    walk.make(Call::of(op, "POST /people/{person}/disable").at(&new).leaves(&["person.disabled"])).await;
    walk.make(Call::of(op, "POST /people/{person}/enable").at(&new).leaves(&["person.enabled"])).await;
    walk.make(Call::of(op, "PUT /people/{person}/password").at(&new).leaves(&["person.password"])).await;
    let factor = PersonFactor {
        person: new.clone(),
        seed: String::new(),
        last_step: 0,
        since: town.now(),
        recovery: Vec::new(),
    };
    town.act_elsewhere(Act::Factor(FactorAct::Enrol(factor))).await;
    walk.make(Call::of(op, "GET /people/{person}/second-factor").at(&new).leaves(READ)).await;
    let lost = Call::of(op, "POST /people/{person}/second-factor/reset").at(&new);
    walk.make(lost.with(json!({ "reason": "lost the phone" })).leaves(&["person.second_factor.reset"])).await;
    walk.make(Call::of(op, "DELETE /people/{person}").at(&new).leaves(&["person.deleted"])).await;
    town.jane(&STOREFRONT).await;
    let session = Session {
        hash: "a-browser".into(),
        person: JANE.into(),
        generation: 0,
        auth_time: town.now(),
        expires_at: town.now() + 3600,
        ended_at: None,
        proved: None,
    };
    town.act_elsewhere(Act::OpenSession(session)).await;
    walk.make(Call::of(op, "GET /people/{person}/export").at(JANE).leaves(READ)).await;
    walk.make(Call::of(op, "GET /people/{person}/places").at(JANE).leaves(READ)).await;
    let held = walk.make(Call::of(op, "GET /people/{person}/sessions").at(JANE).leaves(READ)).await.json();
    let login = held["logins"][0]["id"].as_str().expect("she is in").to_owned();
    let browser = Call::of(op, "DELETE /people/{person}/sessions/{session}").at(JANE).at("a-browser");
    walk.make(browser.leaves(&["person.session.ended"])).await;
    let login = Call::of(op, "DELETE /people/{person}/logins/{login}").at(JANE).at(login);
    walk.make(login.leaves(&["login.ended"])).await;
    let all = Call::of(op, "DELETE /people/{person}/sessions").at(JANE);
    walk.make(all.leaves(&["person.logins.ended"])).await;
}

/// People who are invited, and what an organization asks of those who come in.
async fn newcomers(op: &Colleague, walk: &mut Walk) {
    let draft = json!({ "email": "yves@town.test" });
    let invite = Call::of(op, "POST /people/invitations").with(draft);
    let made = walk.make(invite.leaves(&["person.invited"])).await;
    walk.make(Call::of(op, "GET /people/invitations").leaves(&["personal_data.read"])).await;
    let withdraw = Call::of(op, "DELETE /people/invitations/{invitation}").at(made.text("id"));
    walk.make(withdraw.leaves(&["person.uninvited"])).await;
    walk.make(Call::of(op, "GET /organizations")).await;
    walk.make(Call::of(op, "GET /organizations/{organization}/safety").at("acme")).await;
    let raise = Call::of(op, "PATCH /organizations/{organization}/safety").at("acme");
    let raise = raise.with(json!({ "require_second_factor": true, "reason": "drill" }));
    walk.make(raise.leaves(&["safety.raised"])).await;
}

async fn applications_and_the_log(crew: &Crew, walk: &mut Walk) {
    let (op, auditor) = (&crew.operator, &crew.auditor);
    for quiet in ["GET /status", "GET /retention", "GET /keys", "GET /applications"] {
        walk.make(Call::of(op, quiet)).await;
    }
    walk.make(Call::of(op, "GET /applications/{client}/secrets").at("backend")).await;
    let wish = json!({ "kind": "secret", "what": { "application": "backend" }, "reason": "drill", "break_glass": true });
    let made = crew.owner.post("/proposals", &wish).await.with_status(201).json();
    let secret = made["id"].as_str().expect("an id").to_owned();
    let withdraw = Call::of(op, "DELETE /applications/{client}/secrets/{secret}").at("backend").at(secret);
    walk.make(withdraw.leaves(&["secret.withdrawn"])).await;
    walk.make(Call::of(auditor, "GET /audit").leaves(&["audit.searched"])).await;
    walk.make(Call::of(auditor, "GET /audit/export").leaves(&["audit.exported"])).await;
    for quiet in
        ["GET /audit/verify", "GET /audit/checkpoints", "GET /audit/destinations", "GET /audit/dead-letters"]
    {
        walk.make(Call::of(auditor, quiet)).await;
    }
    let requeue = Call::of(&crew.owner, "POST /audit/destinations/{destination}/requeue").at("siem");
    walk.make(requeue.leaves(&["audit.requeued"])).await;
}

async fn reviews(crew: &Crew, walk: &mut Walk) {
    const READ: &[&str] = &["personal_data.read"];
    let op = &crew.operator;
    walk.make(Call::of(op, "GET /access").leaves(READ)).await;
    let opening = Call::of(op, "POST /reviews").with(json!({ "organization": "acme" }));
    let review = walk.make(opening.leaves(&["review.opened"])).await.text("id");
    walk.make(Call::of(op, "GET /reviews")).await;
    let seen = walk.make(Call::of(op, "GET /reviews/{review}").at(&review).leaves(READ)).await.json();
    let assign = Call::of(op, "POST /reviews/{review}/assign").at(&review);
    walk.make(assign.with(json!({ "operator": op.id })).leaves(&["review.assigned"])).await;
    for line in seen["lines"].as_array().expect("lines") {
        let reason = json!({ "reason": "looked at it" });
        let row = match line["access"]["id"] == "helper" {
            true => Call::of(op, "POST /reviews/{review}/rows/{row}/withdraw")
                .leaves(&["review.withdrawn", "application.withdrawn"]),
            false => Call::of(op, "POST /reviews/{review}/rows/{row}/keep").leaves(&["review.kept"]),
        };
        walk.make(row.at(&review).at(&line["n"]).with(reason)).await;
    }
    let close = Call::of(op, "POST /reviews/{review}/close").at(&review);
    walk.make(close.leaves(&["review.closed"])).await;
    walk.make(Call::of(op, "GET /reviews/{review}/evidence").at(&review).leaves(READ)).await;
}

async fn orders(crew: &Crew, walk: &mut Walk) {
    let (op, approver, reason) = (&crew.operator, &crew.approver, json!({ "reason": "drill" }));
    let target = json!({ "kind": "person", "id": JANE });
    let preview = Call::of(op, "POST /cuts/preview").with(target);
    walk.make(preview.leaves(&["personal_data.read"])).await;
    let order = json!({ "kind": "person", "id": JANE, "reason": "drill" });
    walk.make(Call::of(op, "POST /cuts").with(order).leaves(&["cut.made"])).await;
    let leaving = Call::of(op, "POST /offboardings/preview").with(json!({ "person": "userPaulAA" }));
    walk.make(leaving.leaves(&["personal_data.read"])).await;
    let order = json!({ "person": "userPaulAA", "reason": "drill" });
    walk.make(Call::of(op, "POST /offboardings").with(order).leaves(&["person.offboarded"])).await;
    let wish = json!({ "kind": "erasure", "what": { "person": JANE }, "reason": "drill" });
    let propose = || Call::of(op, "POST /proposals").with(wish.clone()).leaves(&["proposal.opened"]);
    let first = walk.make(propose()).await.text("id");
    walk.make(Call::of(op, "GET /proposals")).await;
    walk.make(Call::of(op, "GET /proposals/{proposal}").at(&first)).await;
    let refuse = Call::of(approver, "POST /proposals/{proposal}/refuse").at(first).with(reason.clone());
    walk.make(refuse.leaves(&["proposal.refused"])).await;
    let second = walk.make(propose()).await.text("id");
    let withdraw = Call::of(op, "POST /proposals/{proposal}/withdraw").at(second).with(reason);
    walk.make(withdraw.leaves(&["proposal.withdrawn"])).await;
    let third = walk.make(propose()).await.json();
    let id = third["id"].as_str().expect("an id").to_owned();
    let approve = Call::of(approver, "POST /proposals/{proposal}/approve").at(id);
    let approve = approve.with(json!({ "digest": third["digest"] }));
    walk.make(approve.leaves(&["proposal.approved", "person.erased"])).await;
    let glass = json!({ "kind": "organization", "id": "rival", "reason": "drill", "break_glass": true });
    walk.make(Call::of(&crew.owner, "POST /cuts").with(glass).leaves(&["break_glass.used", "cut.made"]))
        .await;
    let listed = approver.get("/proposals").await.with_status(200).json();
    let broken = listed["broken_glass"][0]["id"].as_str().expect("glass is broken").to_owned();
    let seen = Call::of(approver, "POST /proposals/{proposal}/acknowledge").at(broken);
    walk.make(seen.leaves(&["break_glass.acknowledged"])).await;
}
