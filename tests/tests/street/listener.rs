//! The audit trail has no gap at the public listener: every address of it is asked once with success and once in vain,
//! and leaves exactly what is said here, or nothing and here is why. The list of addresses is the server's own; one
//! that is opened and not walked here fails the rule.

use std::collections::BTreeSet;

use portcullis::settings::ProxyHeader;
use portcullis_authority::ledger::Act;
use portcullis_authority::operators::OperatorRole;
use portcullis_authority::provisioning::change::{Amendment, Change};
use portcullis_authority::provisioning::{Card, Kind};
use portcullis_authority::registry::Registry as _;
use portcullis_authority::secret::hash_random;
use portcullis_store::AuditEntry;
use portcullis_tests::browser::{form_of, sent_back};
use portcullis_tests::client::{BACKEND, DASHBOARD, PARTNER, PERSONAL, STOREFRONT};
use portcullis_tests::office::{Colleague, code_of};
use portcullis_tests::{Answer, Ground, Town};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::code::{DASHBOARD_BACK, PARTNER_BACK};
use super::coverage::log_of;
use super::factors::{RINGO, codes, otpauth};

const OWN: &str = "copper kettle on the landing";
const OWN_ANEW: &str = "another kettle on the landing";

/// Why some leave nothing.
const DOCUMENT: &str = "a public document, the same for everybody";
const STALE: &str = "a form that this browser was not shown asks for nothing";
const PAGE: &str = "a page that asks; what is answered to it leaves the record";
const GUARDS_READ: &str = "guards follow the feed all day, and ids of what ended are all that it holds";

/// What an answer must have left.
#[derive(Clone, Copy, Debug)]
enum Left {
    Events(&'static [&'static str]),
    Nothing(&'static str),
}

use Left::{Events, Nothing};

/// One call.
struct Step {
    address: String,
    done: bool,
    request_id: String,
    left: Left,
}

/// Everything that was called so far.
#[derive(Default)]
struct Walk {
    steps: Vec<Step>,
    /// What can be asked for in vain by nobody.
    open_to_all: BTreeSet<&'static str>,
}

impl Walk {
    fn done(&mut self, address: &str, answer: &Answer, left: Left) {
        assert!(answer.status < 400, "{address}: {answer:?}");
        self.step(address, true, answer, left);
    }

    fn in_vain(&mut self, address: &str, answer: &Answer, left: Left) {
        self.step(address, false, answer, left);
    }

    fn step(&mut self, address: &str, done: bool, answer: &Answer, left: Left) {
        let request_id = answer.header("x-request-id").to_owned();
        assert!(!request_id.is_empty(), "{answer:?}");
        self.steps.push(Step { address: address.to_owned(), done, request_id, left });
    }

    /// Every call has left what it must and nothing else, and every record says who or from where.
    fn check(&self, log: &[AuditEntry]) {
        let wrong: Vec<String> = self.steps.iter().filter_map(|step| step.wrong(log)).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn missing(&self) -> Vec<String> {
        let walked = |done: bool| -> BTreeSet<&str> {
            self.steps.iter().filter(|step| step.done == done).map(|step| step.address.as_str()).collect()
        };
        let (done, in_vain) = (walked(true), walked(false));
        let whole = |address: &str| {
            done.contains(address) && (in_vain.contains(address) || self.open_to_all.contains(address))
        };
        portcullis::http::addresses().into_iter().filter(|address| !whole(address)).collect()
    }
}

impl Step {
    fn wrong(&self, log: &[AuditEntry]) -> Option<String> {
        let theirs: Vec<_> =
            log.iter().filter(|it| it.record.request_id.as_deref() == Some(&self.request_id)).collect();
        let left: BTreeSet<&str> = theirs.iter().map(|it| it.record.event.as_str()).collect();
        let expected = match self.left {
            Events(events) => events.iter().copied().collect(),
            Nothing(why) => {
                assert!(why.contains(' '), "{} says why it leaves nothing", self.address);
                BTreeSet::new()
            }
        };
        let says_who = theirs.iter().all(|it| {
            let record = &it.record;
            record.address.is_some() && (!self.done || record.subject.is_some() || record.client_id.is_some())
        });
        let outcome = if self.done { "done" } else { "in vain" };
        (left != expected || !says_who)
            .then(|| format!("{} {outcome} left {left:?} and not {expected:?}: {theirs:?}", self.address))
    }
}

/// The addresses of strangers, one after the other: of one network no more than three refusals are written one by one.
#[derive(Default)]
struct Strangers(u8);

impl Strangers {
    fn elsewhere(&mut self, request: RequestBuilder) -> RequestBuilder {
        self.0 += 1;
        request.header("x-forwarded-for", format!("192.0.2.{}", self.0))
    }
}

pub async fn every_address_of_the_listener_leaves_its_record_or_says_why_not(ground: &Ground) {
    let town = Town::open_with(ground, |settings| {
        settings.admin.enabled = true;
        settings.admin.port = 0;
        settings.trusted_proxies = serde_json::from_str(r#"["127.0.0.1/32"]"#).expect("a network");
        settings.proxy_header = ProxyHeader::XForwardedFor;
    })
    .await;
    let mut walk = Walk::default();
    documents(&town, &mut walk).await;
    programs(&town, &mut walk).await;
    guards(&town, &mut walk).await;
    signing_in(&town, &mut walk).await;
    ones_own_account(&town, &mut walk).await;
    let ann = town.operator(OperatorRole::Operator).await;
    passwords_of_ones_own(&town, &ann, &mut walk).await;
    newcomers(&town, &ann, &mut walk).await;
    registry(&town, &mut walk).await;
    walk.check(&log_of(&town).await);
    let missing = walk.missing();
    assert!(missing.is_empty(), "nobody looks whether these leave their record: {missing:?}");
}

async fn documents(town: &Town, walk: &mut Walk) {
    for address in [
        "GET /",
        "GET /.well-known/jwks.json",
        "GET /.well-known/oauth-authorization-server",
        "GET /.well-known/rv-jwks.json",
        "GET /revocations/time",
        "GET /healthz",
        "GET /readyz",
    ] {
        let path = address.strip_prefix("GET ").expect("a path");
        walk.done(address, &Answer::to(town.get(path)).await, Nothing(DOCUMENT));
        walk.open_to_all.insert(address);
    }
}

async fn programs(town: &Town, walk: &mut Walk) {
    let wrong = BACKEND.with_secret("hush-not-this");
    let jane = town.jane(&STOREFRONT).await;
    let access = jane.access_token();
    walk.done("POST /oauth/token", &jane, Events(&["token.issued"]));
    let refused = town.token(&wrong, "client_credentials", &[]).await.with_status(401);
    walk.in_vain("POST /oauth/token", &refused, Events(&["token.refused"]));
    let asked = town.introspect_as(&BACKEND, &access).await;
    assert!(!asked.body.contains('@'), "{asked:?}");
    let own =
        "asked with every request of a shop; it says what the token itself says, and no name or address";
    walk.done("POST /oauth/introspect", &asked, Nothing(own));
    let refused = town.introspect_as(&wrong, &access).await.with_status(401);
    walk.in_vain("POST /oauth/introspect", &refused, Events(&["introspection.refused"]));
    let told = Answer::to(town.get("/oauth/tokeninfo").bearer_auth(&access)).await;
    walk.done("GET /oauth/tokeninfo", &told, Nothing("whoever holds a token is told of that token alone"));
    let dead = Answer::to(town.get("/oauth/tokeninfo").bearer_auth("not-a-token")).await.with_status(401);
    let why = "that a token is dead, introspection says without a record too; nobody is named by it";
    walk.in_vain("GET /oauth/tokeninfo", &dead, Nothing(why));
    let refused = town.revoke(&wrong, &access).await.with_status(403);
    walk.in_vain("POST /oauth/revoke", &refused, Events(&["revocation.refused"]));
    let revoked = town.revoke(&STOREFRONT, &access).await;
    walk.done("POST /oauth/revoke", &revoked, Events(&["token.revoked"]));
    let again = town.revoke(&STOREFRONT, "not-a-token").await;
    walk.done("POST /oauth/revoke", &again, Nothing("there was nothing to end (RFC 7009 section 2.2)"));
}

async fn guards(town: &Town, walk: &mut Walk) {
    let nowhere = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let head = town.guards().await["head"].as_str().expect("a position").to_owned();
    let paths = [
        ("GET /revocations/{feed}/manifest", "/revocations/live:eu1/manifest".to_owned()),
        ("GET /revocations/{feed}/segments/{sha256}", format!("/revocations/live:eu1/segments/{nowhere}")),
        ("GET /revocations/{feed}/tail", format!("/revocations/live:eu1/tail?after={head}&wait=0")),
        ("GET /revocations/{feed}/stream", "/revocations/live:eu1/stream".to_owned()),
        ("GET /policy/{sha256}", format!("/policy/{nowhere}")),
        ("GET /feed/guards", "/feed/guards".to_owned()),
    ];
    let mut strangers = Strangers::default();
    for (address, path) in paths {
        let refused = strangers.elsewhere(town.get(&path)).basic_auth("shop", Some("hush-not-this"));
        let refused = Answer::to(refused).await.with_status(401);
        walk.in_vain(address, &refused, Events(&["guard.refused"]));
        let asked = town.get(&path).basic_auth("shop", Some("hush-guard"));
        // The head alone: a stream does not end.
        let answer = asked.send().await.expect("the server answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        // A name that nothing has is answered to a guard as to nobody else.
        assert!(status == 200 || status == 404 && path.ends_with(nowhere), "{path}: {status}");
        let seen = Answer { status, headers, body: String::new() };
        walk.step(address, true, &seen, Nothing(GUARDS_READ));
    }
    let report =
        json!({ "guard": "till", "feed": "live:eu1", "epoch": 1, "seq": 0, "as_of": 0, "version": "1" });
    let told = |secret| town.post("/guards/report").basic_auth("shop", Some(secret)).json(&report);
    let refused = strangers.elsewhere(told("hush-not-this"));
    let refused = Answer::to(refused).await.with_status(401);
    walk.in_vain("POST /guards/report", &refused, Events(&["guard.refused"]));
    let why = "how far a guard has come changes nothing but what is said of that guard";
    walk.done("POST /guards/report", &Answer::to(told("hush-guard")).await, Nothing(why));
}

/// From an application's link to its code, and away again.
async fn signing_in(town: &Town, walk: &mut Walk) {
    let browser = town.browser();
    let nobody = browser.open("/oauth/authorize?client_id=nobody").await.with_status(400);
    let why = "anybody can write a link; it names no application and nobody was asked";
    walk.in_vain("GET /oauth/authorize", &nobody, Nothing(why));
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    walk.done("GET /oauth/authorize", &page, Nothing(PAGE));
    let refused = browser.sign_in(&page, RINGO.0, "hush-not-this").await;
    walk.in_vain("POST /oauth/authorize/sign-in", &refused, Events(&["sign_in.refused"]));
    let stale = town.browser().sign_in(&page, RINGO.0, RINGO.1).await.with_status(400);
    walk.in_vain("POST /oauth/authorize/sign-in", &stale, Nothing(STALE));
    let onward = browser.sign_in(&page, RINGO.0, RINGO.1).await.with_status(303);
    walk.done("POST /oauth/authorize/sign-in", &onward, Events(&["sign_in"]));
    let question = browser.open(onward.header("location")).await.with_status(200);
    walk.done("GET /oauth/authorize/consent", &question, Nothing(PAGE));
    let stale = town.browser().open(onward.header("location")).await.with_status(400);
    walk.in_vain("GET /oauth/authorize/consent", &stale, Nothing(STALE));
    let refused = browser.decide(&question, "deny").await.with_status(303);
    walk.in_vain("POST /oauth/authorize/consent", &refused, Events(&["consent.refused"]));
    let agreed = browser.decide(&question, "allow").await.with_status(303);
    walk.done("POST /oauth/authorize/consent", &agreed, Events(&["consent.given"]));
    // Without a question the link itself is the answer.
    let straight = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &[]).await.with_status(303);
    walk.done("GET /oauth/authorize", &straight, Events(&["consent.given"]));
    let none = town.browser().authorize(&DASHBOARD, DASHBOARD_BACK, &[("prompt", "none")]).await;
    walk.in_vain("GET /oauth/authorize", &none, Events(&["consent.refused"]));
    // Whoever signs in once more leaves the session before, and so does whoever wants to be somebody else.
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[("prompt", "login")]).await.with_status(200);
    let anew = browser.sign_in(&page, RINGO.0, RINGO.1).await.with_status(303);
    walk.done("POST /oauth/authorize/sign-in", &anew, Events(&["sign_in", "sign_out"]));
    let question = browser.open(anew.header("location")).await.with_status(200);
    let switched = browser.decide(&question, "switch").await.with_status(200);
    walk.done("POST /oauth/authorize/consent", &switched, Events(&["sign_out"]));
    let again = browser.decide(&question, "switch").await.with_status(200);
    walk.done("POST /oauth/authorize/consent", &again, Nothing("no session was left to end"));
}

/// What people do at the page of their own account, and the second factor that they enrol there.
async fn ones_own_account(town: &Town, walk: &mut Walk) {
    let browser = town.browser();
    let nobody = browser.open("/oauth/account").await;
    walk.in_vain("GET /oauth/account", &nobody, Nothing("nobody is signed in, and nothing is shown"));
    browser.code(&DASHBOARD, DASHBOARD_BACK, &[]).await;
    let page = browser.open("/oauth/account").await.with_status(200);
    walk.done("GET /oauth/account", &page, Nothing("people are shown their own account"));
    let refused = browser.change_password(&page, "hush-not-this", "", OWN).await.with_status(200);
    walk.in_vain("POST /oauth/account", &refused, Events(&["person.password.refused"]));
    let changed = browser.change_password(&page, RINGO.1, "", OWN).await.with_status(200);
    walk.done("POST /oauth/account", &changed, Events(&["person.password.changed"]));
    let page = browser.open("/oauth/account").await.with_status(200);
    let (seed, now) = (otpauth(&page), town.now());
    let refused = browser.look_after_account(&page, &code_of(&seed, now), "hush-not-this").await;
    walk.in_vain("POST /oauth/account", &refused, Events(&["person.second_factor.refused"]));
    let mistyped = browser.look_after_account(&page, "000000", OWN).await.with_status(200);
    let why = "whoever enrols has shown the password, and mistypes a code that protects nothing yet";
    walk.in_vain("POST /oauth/account", &mistyped, Nothing(why));
    let enrolled = browser.look_after_account(&page, &code_of(&seed, now), OWN).await.with_status(200);
    walk.done("POST /oauth/account", &enrolled, Events(&["person.second_factor.enrolled"]));
    let recovery = codes(&enrolled);
    let other = town.browser();
    let page = other.authorize(&DASHBOARD, DASHBOARD_BACK, &[]).await.with_status(200);
    let asked = other.sign_in(&page, RINGO.0, OWN).await.with_status(200);
    let why = "a right password alone opens nothing; what is made of it leaves the record";
    walk.done("POST /oauth/authorize/sign-in", &asked, Nothing(why));
    let wrong = other.show_code(&asked, "000000").await.with_status(200);
    walk.in_vain("POST /oauth/authorize/second-factor", &wrong, Events(&["sign_in.refused"]));
    let entered = other.show_code(&asked, &recovery[0]).await.with_status(303);
    walk.done("POST /oauth/authorize/second-factor", &entered, Events(&["sign_in", "consent.given"]));
    let page = browser.open("/oauth/account").await.with_status(200);
    let refused = browser.look_after_account(&page, "000000", OWN).await.with_status(200);
    walk.in_vain("POST /oauth/account", &refused, Events(&["person.second_factor.refused"]));
    let removed = browser.look_after_account(&page, &recovery[1], OWN).await.with_status(200);
    walk.done("POST /oauth/account", &removed, Events(&["person.second_factor.removed"]));
}

/// Two operators set a password, which opens the page where one's own is chosen.
async fn passwords_of_ones_own(town: &Town, ann: &Colleague, walk: &mut Walk) {
    let bob = town.operator(OperatorRole::Approver).await;
    let wish =
        json!({ "kind": "password", "what": { "person": "userRingoA" }, "reason": "forgot it, HD-31" });
    let made = ann.post("/proposals", &wish).await.with_status(201);
    let (given, made) = (made.text("password"), made.json());
    bob.approve(&made).await.with_status(200);
    let browser = town.browser();
    let page = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &[]).await.with_status(200);
    let asked = browser.sign_in(&page, RINGO.0, &given).await.with_status(200);
    let weak = browser.choose_password(&asked, "short").await.with_status(200);
    let why = "a password that is not good enough is chosen once more; nobody was refused anything";
    walk.in_vain("POST /oauth/authorize/password", &weak, Nothing(why));
    let chosen = browser.choose_password(&asked, OWN_ANEW).await.with_status(303);
    let left = Events(&["person.password.chosen", "consent.given"]);
    walk.done("POST /oauth/authorize/password", &chosen, left);
}

async fn newcomers(town: &Town, ann: &Colleague, walk: &mut Walk) {
    let made = ann.post("/people/invitations", &json!({ "email": "zoe@example.com" })).await.with_status(201);
    let path = made.text("link").strip_prefix(town.issuer()).expect("it leads to the listener").to_owned();
    let browser = town.browser();
    let page = browser.open(&path).await.with_status(200);
    walk.done("GET /oauth/invitation", &page, Nothing("the invited are shown their own address"));
    let form = [("form", form_of(&page)), ("new_password", OWN.to_owned())];
    let joined = browser.post("/oauth/invitation", &form).await;
    walk.done("POST /oauth/invitation", &joined, Events(&["person.invitation.accepted"]));
    let again = browser.post("/oauth/invitation", &form).await.with_status(400);
    walk.in_vain("POST /oauth/invitation", &again, Events(&["person.invitation.refused"]));
    let over = browser.open(&path).await.with_status(400);
    walk.in_vain("GET /oauth/invitation", &over, Events(&["person.invitation.refused"]));
}

/// The Provisioning API, as Ringo.
struct Api<'a> {
    town: &'a Town,
    strangers: Strangers,
}

impl Api<'_> {
    fn request(&self, method: Method, path: &str, data: Value) -> RequestBuilder {
        let asked = self.town.request(method, &format!("/api/{path}"));
        asked.header("content-type", "application/vnd.api+json").body(json!({ "data": data }).to_string())
    }

    /// By a token that has seen nobody yet: what one has seen a moment ago is not told twice.
    async fn ask(&self, method: Method, path: &str, data: Value) -> Answer {
        let token = self.town.client_token(&PERSONAL).await;
        Answer::to(self.request(method, path, data).bearer_auth(token)).await
    }

    /// The same with a token that is none.
    async fn in_vain(&mut self, walk: &mut Walk, address: &str) {
        let (method, path) = address.split_once(" /api/").expect("an address of the API");
        let path = path.replace("{kind}", "memberships").replace("{id}", "any").replace("{link}", "role");
        let asked = self.request(method.parse().expect("a method"), &path, json!({}));
        let refused = self.strangers.elsewhere(asked.bearer_auth("not-a-token"));
        let refused = Answer::to(refused).await.with_status(401);
        walk.in_vain(address, &refused, Events(&["registry.refused"]));
    }
}

async fn registry(town: &Town, walk: &mut Walk) {
    let mut api = Api { town, strangers: Strangers(100) };
    for address in portcullis::http::addresses().iter().filter(|address| address.contains(" /api/")) {
        api.in_vain(walk, address).await;
    }
    let machine = town.client_token(&BACKEND).await;
    let refused = Answer::to(town.get("/api/roles").bearer_auth(&machine)).await.with_status(403);
    walk.in_vain("GET /api/{kind}", &refused, Events(&["registry.refused"]));
    things(&api, walk).await;
    invitations(&api, walk).await;
}

async fn things(api: &Api<'_>, walk: &mut Walk) {
    const READ: Left = Events(&["registry.read"]);
    const CHANGED: Left = Events(&["registry.changed"]);
    let to = |kind: &str, id: &str| json!({ "data": { "type": kind, "id": id } });
    let get = async |path: &str| api.ask(Method::GET, path, json!({})).await;
    walk.done("GET /api/user", &get("user").await, Nothing("people are shown themselves"));
    let own = json!({ "type": "users", "attributes": { "first_name": "Richard" } });
    walk.done("PATCH /api/user", &api.ask(Method::PATCH, "user", own).await, CHANGED);
    let taken = json!({ "type": "users", "attributes": { "email": "paul@example.com" } });
    let refused = api.ask(Method::PATCH, "user", taken).await.with_status(422);
    walk.in_vain("PATCH /api/user", &refused, Events(&["registry.refused"]));
    walk.done("GET /api/{kind}", &get("roles").await, Nothing("a role is nobody"));
    walk.done("GET /api/{kind}", &get("memberships").await, READ);
    walk.done("GET /api/{kind}/{id}", &get("organizations/orgAcmeAAA").await, Nothing("it names nobody"));
    let included = get("organizations/orgAcmeAAA?include=memberships").await;
    walk.done("GET /api/{kind}/{id}", &included, READ);
    let related = get("roles/orgAcmeAAA.admin/memberships").await;
    walk.done("GET /api/{kind}/{id}/{link}", &related, READ);
    let ids = get("roles/orgAcmeAAA.admin/relationships/memberships").await;
    walk.done("GET /api/{kind}/{id}/relationships/{link}", &ids, Nothing("ids alone"));
    let role = json!({ "type": "roles", "attributes": { "name": "Till" },
        "relationships": { "organization": to("organizations", "orgAcmeAAA") } });
    let made = api.ask(Method::POST, "roles", role).await;
    walk.done("POST /api/{kind}", &made, CHANGED);
    let path = format!("roles/{}", made.json()["data"]["id"].as_str().expect("an id"));
    let renamed = json!({ "type": "roles", "attributes": { "name": "Tills" } });
    walk.done("PATCH /api/{kind}/{id}", &api.ask(Method::PATCH, &path, renamed).await, CHANGED);
    walk.done("DELETE /api/{kind}/{id}", &api.ask(Method::DELETE, &path, json!({})).await, CHANGED);
    let refused = api.ask(Method::DELETE, "roles/orgAcmeAAA.admin", json!({})).await.with_status(403);
    walk.in_vain("DELETE /api/{kind}/{id}", &refused, Events(&["registry.refused"]));
    let missing = get("roles/nothing").await.with_status(404);
    walk.in_vain(
        "GET /api/{kind}/{id}",
        &missing,
        Nothing("nothing was found, and nobody is told what else is"),
    );
}

async fn invitations(api: &Api<'_>, walk: &mut Walk) {
    let to = |kind: &str, id: &str| json!({ "data": { "type": kind, "id": id } });
    let draft = json!({ "type": "memberships", "attributes": { "user_email": "new@example.com" }, "relationships": {
        "organization": to("organizations", "orgAcmeAAA"), "role": to("roles", "orgAcmeAAA.support") } });
    let invited = api.ask(Method::POST, "memberships", draft).await;
    walk.done("POST /api/{kind}", &invited, Events(&["registry.changed", "registry.read"]));
    let path = format!("memberships/{}", invited.json()["data"]["id"].as_str().expect("an id"));
    let sent = api.ask(Method::POST, &format!("{path}/resend"), json!({})).await;
    walk.done("POST /api/memberships/{id}/resend", &sent, Events(&["registry.changed"]));
    let heir = json!({ "type": "organizations", "attributes": { "new_owner_email": "paul@example.com" } });
    let handed = api.ask(Method::PATCH, "organizations/orgAcmeAAA/transfer_ownership", heir.clone()).await;
    walk.done("PATCH /api/organizations/{id}/transfer_ownership", &handed, Events(&["registry.changed"]));
    let again = api.ask(Method::PATCH, "organizations/orgAcmeAAA/transfer_ownership", heir).await;
    let refused = again.with_status(403);
    walk.in_vain("PATCH /api/organizations/{id}/transfer_ownership", &refused, Events(&["registry.refused"]));
    let code = "a-code-that-came-in-a-letter";
    ringo_is_invited_elsewhere(api.town, code).await;
    let answer = json!({ "type": "memberships", "attributes": { "invitation_code": code } });
    let accepted = api.ask(Method::POST, "memberships/elsewhereA/accept", answer).await;
    walk.done("POST /api/memberships/{id}/accept", &accepted, Events(&["registry.changed"]));
}

/// As the owner of the other organization would invite.
async fn ringo_is_invited_elsewhere(town: &Town, code: &str) {
    let reach = vec!["orgRivalAA".to_owned()];
    let expected =
        town.look(async move |store| store.estate("", &reach).await.expect("it reads").version).await;
    let mut card = Card::new(Kind::Membership, "elsewhereA", "orgRivalAA", town.now() * 1000);
    for (name, value) in
        [("user_email", RINGO.0.to_owned()), ("role", "admin".into()), ("invitation", hash_random(code))]
    {
        card.more.insert(name.into(), value.into());
    }
    let changes = vec![Change::PutCard(Box::new(card))];
    town.act_elsewhere(Act::Amend(Amendment { expected, changes })).await;
}

pub async fn whoever_signs_out_is_named(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    let onward = browser.sign_in(&page, RINGO.0, RINGO.1).await.with_status(303);
    let question = browser.open(onward.header("location")).await.with_status(200);
    browser.decide(&question, "switch").await.with_status(200);
    // What has ended already ends nothing once more.
    browser.decide(&question, "switch").await.with_status(200);
    let log = log_of(&town).await;
    let left: Vec<_> = log.iter().filter(|it| it.record.event == "sign_out").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].record.subject.as_deref(), Some("userRingoA"));
    let none = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &[("prompt", "none")]).await.with_status(303);
    assert_eq!(sent_back(&none)["error"], "login_required");
}
