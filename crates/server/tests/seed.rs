//! Seed files: the shipped ones load, and every kind of mistake is named with its place.

use std::path::Path;
use std::sync::Arc;

use portcullis::means::Passwords;
use portcullis::seed::{self, Ground, NotSown, Sown};
use portcullis::settings;
use portcullis::testing::FixedDice;
use portcullis_authority::registry::{Assertions, Directory, FenceKind, Holdings, RoleKind};
use portcullis_authority::secret::{Seal, Secret};

fn read(text: &str, known: &Directory) -> Result<Sown, NotSown> {
    let cheap = settings::Passwords { memory_kib: 64, iterations: 1, ..Default::default() };
    let dice = Arc::new(FixedDice::new(1));
    let passwords = Passwords::new(&cheap, dice.clone()).unwrap();
    seed::read(text, &Ground { seal: &seal(), passwords: &passwords, dice: &*dice, known })
}

fn seal() -> Seal {
    Seal::new(&[7; 32])
}

fn shipped(path: &str) -> Sown {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let text = std::fs::read_to_string(file).unwrap();
    read(&text, &Directory::default()).unwrap_or_else(|wrong| panic!("{path}: {wrong}"))
}

fn mistakes(text: &str) -> String {
    match read(text, &Directory::default()) {
        Err(NotSown::Mistakes(mistakes)) => mistakes.to_string(),
        other => panic!("no mistakes in it: {other:?}"),
    }
}

#[test]
fn the_demo_loads_and_keeps_no_secret_in_plain_text() {
    let sown = shipped("deploy/config/demo.toml");
    let set = &sown.set;
    assert_eq!((set.organizations.len(), set.applications.len(), set.guards.len()), (1, 7, 1));
    let text = format!("{set:?}");
    for secret in ["demo-backend-secret", "jane-buys-a-lamp", "demo-guard-secret"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let backend = set.applications.iter().find(|it| it.client_id == "demo-backend").unwrap();
    let hash = seal().client_secret("demo-backend", &Secret::from("demo-backend-secret"));
    assert_eq!(backend.secrets[0].hash, hash);
    assert_eq!(backend.on_behalf_of.assertions, Assertions::Signed);
    assert_eq!(set.guards[0].hash, seal().client_secret("guard:shop", &Secret::from("demo-guard-secret")));
    assert!(set.people.iter().all(|it| it.password.as_deref().unwrap().starts_with("$argon2id$")));
    assert_eq!(set.roles.iter().filter(|it| it.kind == RoleKind::Custom).count(), 1);
    assert!(set.memberships[0].id.len() <= 64);
    assert!(sown.generated.is_empty());
}

#[test]
fn what_the_vendors_clients_need_loads() {
    let set = shipped("tests/fixtures/acceptance.toml").set;
    let organization = &set.organizations[0];
    assert_eq!((organization.slug.as_str(), organization.region.as_str()), ("my-org", "eu-west-1"));
    assert_eq!(organization.algorithm.as_deref(), Some("RS512"));
    let codes: Vec<_> = set.fences.iter().map(|it| (it.kind, it.code.as_str())).collect();
    assert!(
        codes.contains(&(FenceKind::Market, "europe")) && codes.contains(&(FenceKind::Store, "outlet_ny"))
    );
    let market = set.fences.iter().find(|it| it.kind == FenceKind::Market).unwrap();
    assert_eq!(market.stock_locations, ["stockAAAAA"]);
    for client in ["sc", "int", "web", "prov"] {
        let application = set.applications.iter().find(|it| it.client_id == client).unwrap();
        let hash = seal().client_secret(client, &Secret::from(format!("{client}-secret")));
        assert_eq!(application.secrets[0].hash, hash);
        assert_eq!(application.on_behalf_of.enabled, client != "prov");
    }
}

const SHOP: &str = "[[organizations]]\nslug = \"a\"\n\n";

#[test]
fn each_mistake_is_named_with_its_line_and_key() {
    let webapp = "[[applications]]\nclient_id = \"w\"\nkind = \"webapp\"\nsecret = \"s\"\n";
    let channel = "[[applications]]\nclient_id = \"c\"\nkind = \"sales_channel\"\n";
    for (tail, said) in [
        // What does not read as a whole.
        ("[[roles]]\nid = \"r\"\ncolour = 1", "line 6: unknown field `colour`"),
        ("[[roles]\n", "line 4"),
        ("[[applications]]\nclient_id = \"x\"", "missing field `kind`"),
        ("[[applications]]\nclient_id = \"x\"\nkind = \"robot\"", "line 6: unknown variant `robot`"),
        ("[[guards]]\nid = \"g\"\nsecret = \"\"", "line 6: a secret cannot be empty"),
        // Names.
        ("[[guards]]\nid = \"a:b\"\nsecret = \"s\"", "line 5, guards[0].id: \"a:b\" must be 1 to 64 letters"),
        (&format!("{channel}{channel}"), "line 8, applications[1].client_id: \"c\" is used twice."),
        ("[[users]]\nid = \"u\"\nemail = \"nobody\"", "line 6, users[0].email: \"nobody\" is not an e-mail"),
        // What one part says of another.
        (&format!("{channel}organization = \"b\""), "line 7, applications[0].organization: there is no org"),
        (
            "[[applications]]\nclient_id = \"i\"\nkind = \"integration\"\nsecret = \"s\"\nrole = \"boss\"",
            "line 8, applications[0].role: there is no role \"boss\"",
        ),
        (
            "[[memberships]]\nuser = \"u\"\nrole = \"admin\"",
            "line 5, memberships[0].user: there is no user \"u\"",
        ),
        ("[[stores]]\ncode = \"s\"\nmarket = \"m\"", "line 6, stores[0].market: there is no such code \"m\""),
        (
            "[[markets]]\ncode = \"m\"\nstock_locations = [\"x\"]",
            "line 6, markets[0].stock_locations: there is no such code",
        ),
        (
            "[[roles]]\nid = \"r\"\nconflicts_with = [\"r\"]",
            "line 6, roles[0].conflicts_with: a role cannot be in conflict with itself.",
        ),
        (
            "[[roles]]\nid = \"r\"\nconflicts_with = [\"boss\"]",
            "line 6, roles[0].conflicts_with: there is no role \"boss\"",
        ),
        ("[[roles]]\nid = \"admin\"", "line 5, roles[0].id: admin and read_only exist"),
        (
            "[[roles]]\nid = \"r\"\npermissions = [\n  { subject = \"orders\", actions = [\"fly\"] },\n]",
            "line 7: \"fly\" is not an action",
        ),
        (
            "[[roles]]\nid = \"r\"\npermissions = [\n  { subject = \"orders\", actions = [\"read\"], when = [\"self\"] },\n]",
            "line 7, roles[0].permissions: ",
        ),
        // What a kind of application must and cannot have.
        (
            "[[applications]]\nclient_id = \"i\"\nkind = \"integration\"\nrole = \"admin\"",
            "a confidential app",
        ),
        (webapp, "applications[0].redirect_uris: a webapp needs at least one."),
        (
            &format!("{webapp}redirect_uris = [\"javascript:alert(1)\"]"),
            "line 8, applications[0].redirect_uris:",
        ),
        (&format!("{channel}origins = [\"https://shop.example/\"]"), "line 7, applications[0].origins:"),
        (&format!("{webapp}password_grant = true"), "only a sales channel may use the password grant."),
        (&format!("{channel}access_lifetime = 5"), "line 7, applications[0].access_lifetime: a lifetime is"),
        (
            &format!("{channel}algorithm = \"HS256\""),
            "line 7, applications[0].algorithm: \"HS256\" is not one",
        ),
        (
            &format!("{channel}secret = \"s\"\non_behalf_of = {{ enabled = true }}"),
            "line 8, applications[0].on_behalf_of.enabled: acting on behalf",
        ),
        (
            "[[applications]]\nclient_id = \"p\"\nkind = \"user\"\nsecret = \"s\"",
            "applications[0].user: a user credential names its user.",
        ),
    ] {
        let found = mistakes(&format!("{SHOP}{tail}"));
        assert!(found.contains(said), "{tail}\nsaid: {found}\nnot:  {said}");
    }
}

#[test]
fn all_mistakes_are_named_at_once_and_no_secret_among_them() {
    let found = mistakes(&format!(
        "{SHOP}[[guards]]\nid = \"a:b\"\nsecret = \"hush\"\n[[guards]]\nid = \"c:d\"\nsecret = \"hush\"\n"
    ));
    assert_eq!(found.lines().count(), 2);
    assert!(!found.contains("hush"));
    let number = mistakes("[[guards]]\nid = \"g\"\nsecret = 4711 # hush");
    assert_eq!(number, "line 3: a secret is a text in quotes.");
}

#[test]
fn roles_are_declared_in_conflict() {
    let text = format!(
        "{SHOP}[[roles]]\nid = \"buyer\"\nconflicts_with = [\"payer\", \"admin\"]\n[[roles]]\nid = \"payer\"\n"
    );
    let set = read(&text, &Directory::default()).unwrap().set;
    let [conflict] = set.conflicts.as_slice() else { panic!("{:?}", set.conflicts) };
    assert_eq!(
        (conflict.role.as_str(), &conflict.with[..]),
        ("buyer", &["payer".to_owned(), "admin".into()][..])
    );
    assert_eq!(conflict.organization, set.roles[0].organization);
}

#[test]
fn with_several_organizations_each_part_says_which() {
    let two = "[[organizations]]\nslug = \"a\"\n[[organizations]]\nslug = \"b\"\n";
    assert!(mistakes(&format!("{two}[[markets]]\ncode = \"m\"")).contains("say which organization"));
    let ok = format!(
        "{two}[[markets]]\ncode = \"m\"\norganization = \"b\"\n[[markets]]\ncode = \"m\"\norganization = \"a\""
    );
    assert_eq!(read(&ok, &Directory::default()).unwrap().set.fences.len(), 2);
}

#[test]
fn a_generated_secret_is_shown_once_and_kept_by_the_next_seeding() {
    let text = format!(
        "{SHOP}[[applications]]\nclient_id = \"i\"\nkind = \"integration\"\nrole = \"admin\"\nsecret = \"generate\"\n"
    );
    let first = read(&text, &Directory::default()).unwrap();
    let (client, secret) = &first.generated[0];
    assert!(client == "i" && secret.expose().starts_with("pcs_") && secret.expose().len() > 40);
    assert_eq!(first.set.applications[0].secrets[0].hash, seal().client_secret("i", secret));
    let known = Holdings { applications: first.set.applications.clone(), ..Default::default() };
    let second = read(&text, &Directory::new(known)).unwrap();
    assert!(second.generated.is_empty());
    assert_eq!(second.set.applications, first.set.applications);
}
