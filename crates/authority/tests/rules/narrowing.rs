//! Less than a role allows: what a scope leaves of it, and what a membership keeps a person to. No grant is a
//! way around either.

use portcullis_authority::TokenReply;
use portcullis_authority::refusal::{Code, Refusal};
use portcullis_authority::registry::{Membership, Mode, Share};
use portcullis_guard::Claims;
use portcullis_guard::policy::Action;

use crate::assertions::for_ada;
use crate::house::{ACCESS_TOKEN, ACME, EXCHANGE, House, JWT_BEARER};

const READS: &str = "market:all can:read:orders can:show:skus";

async fn asked(house: &House, client: &str, scope: &str) -> Result<Claims, Code> {
    let form = [("grant_type", "client_credentials"), ("scope", scope)];
    let reply = house.by(client, &form).await.map_err(|refusal| refusal.code)?;
    assert_eq!(reply.scope, scope, "echoed as it was asked");
    Ok(house.claims(&reply.access_token))
}

async fn exchange(house: &House, subject: &str, scope: Option<&str>) -> Result<TokenReply, Refusal> {
    let mut form =
        vec![("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ACCESS_TOKEN)];
    form.extend(scope.map(|scope| ("scope", scope)));
    house.by("int", &form).await
}

/// Ada's place at Acme, with these shares.
fn keep(house: &House, change: impl Fn(&mut Membership)) {
    house.memory.change_memberships(|all| {
        change(all.iter_mut().find(|place| place.user == "UserAdaAAA").expect("in the seed"));
    });
}

fn share(client: &str, markets: Option<&[&str]>) -> Share {
    Share {
        application: format!("app-{client}"),
        role: "eyes".into(),
        markets: markets.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()),
    }
}

#[tokio::test]
async fn a_scope_leaves_of_a_role_what_it_names() {
    let house = House::new();
    let claims = asked(&house, "int", READS).await.unwrap();
    let perm = claims.perm.expect("narrowed");
    for (subject, action, left) in [
        ("orders", Action::Read, true),
        ("orders", Action::List, true),
        ("orders", Action::Update, false),
        ("skus", Action::Read, true),
        ("skus", Action::List, false),
        ("prices", Action::Read, false),
    ] {
        assert_eq!(perm.leaves(subject, action), left, "{subject} {action:?}");
    }
    assert_eq!(claims.rol, [format!("{ACME}/orders")], "the role stays: what it allows no more is not left");
    assert_eq!(asked(&house, "int", "market:all").await.unwrap().perm, None);
    let many: Vec<String> = (0..33).map(|n| format!("can:read:s{n}")).collect();
    for wrong in [
        "can:read:orders",
        "market:all can:read",
        "market:all can:fly:orders",
        "market:all can:read:Orders",
        "market:all can:read:",
        "market:all can::orders",
        &format!("market:all {}", many.join(" ")),
    ] {
        assert_eq!(asked(&house, "int", wrong).await.unwrap_err(), Code::InvalidScope, "{wrong}");
    }
}

#[tokio::test]
async fn an_application_that_is_kept_to_some_actions_asks_for_no_others() {
    let house = House::new();
    house.change_application("int", |a| a.scopes = READS.split(' ').map(str::to_owned).collect());
    assert!(house.claims(&house.client_credentials("int").await.access_token).perm.is_some());
    assert!(asked(&house, "int", "market:all can:show:orders").await.is_ok());
    for wider in ["market:all", "market:all can:update:orders", "market:all can:read:*"] {
        assert_eq!(asked(&house, "int", wider).await.unwrap_err(), Code::InvalidScope, "{wider}");
    }
}

#[tokio::test]
async fn neither_refresh_nor_exchange_widens_what_was_left() {
    let house = House::new();
    let code = house.code(&[("client_id", "web"), ("scope", READS)]).await;
    let login = house.redeem(&code).await.unwrap();
    let had = house.claims(&login.access_token).perm.expect("narrowed");
    let refresh = login.refresh_token.unwrap();
    let again = async |scope: Option<&str>| {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        form.extend(scope.map(|scope| ("scope", scope)));
        house.by("web", &form).await.map(|reply| house.claims(&reply.access_token))
    };
    assert_eq!(again(None).await.unwrap().perm, Some(had.clone()));
    let less = again(Some("market:all can:list:orders")).await.unwrap().perm.unwrap();
    assert!(less.is_within(&had) && less != had);
    assert_eq!(again(None).await.unwrap().perm, Some(had.clone()), "the login itself keeps its scope");
    let exchanged = exchange(&house, &login.access_token, None).await.unwrap();
    assert_eq!(house.claims(&exchanged.access_token).perm, Some(had));
    for wider in ["market:all", "market:all can:update:orders", "market:all  market:all"] {
        assert_eq!(again(Some(wider)).await.unwrap_err().code, Code::InvalidScope, "{wider}");
        let refused = exchange(&house, &login.access_token, Some(wider)).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidScope, "{wider}");
    }
}

#[tokio::test]
async fn a_member_gets_tokens_through_the_applications_of_the_membership_only() {
    let house = House::new();
    let before = house.ada().await;
    keep(&house, |place| place.applications = Some(vec![share("spa", None)]));
    let consent = house.consider(&[("client_id", "web")]).unwrap();
    let refused = house.sign_in(&consent, "ada@staff.example").await.unwrap_err();
    assert_eq!(refused.code, Code::AccessDenied, "no consent page, and no code");
    let refresh = before.refresh_token.unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    assert_eq!(house.by("web", &form).await.unwrap_err().code, Code::InvalidGrant);
    assert_eq!(exchange(&house, &before.access_token, None).await.unwrap_err().code, Code::InvalidGrant);
    let assertion = for_ada("narrowed");
    let form = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
    assert_eq!(house.by("int", &form).await.unwrap_err().code, Code::InvalidGrant);
    keep(&house, |place| place.applications = Some(Vec::new()));
    let consent =
        house.consider(&[("client_id", "spa"), ("redirect_uri", "https://spa.example/cb")]).unwrap();
    assert!(house.sign_in(&consent, "ada@staff.example").await.is_err(), "kept to none is not open to all");
}

#[tokio::test]
async fn a_code_is_worth_nothing_once_the_membership_is_kept_to_others() {
    let house = House::new();
    let code = house.code(&[("client_id", "web")]).await;
    keep(&house, |place| place.applications = Some(vec![share("spa", None)]));
    assert_eq!(house.redeem(&code).await.unwrap_err().code, Code::InvalidGrant);
}

#[tokio::test]
async fn an_application_membership_adds_its_role_and_its_markets() {
    let house = House::new();
    keep(&house, |place| place.applications = Some(vec![share("web", Some(&["MktEurope1", "MktGone"]))]));
    let login = house.ada().await;
    let claims = house.claims(&login.access_token);
    assert_eq!(claims.rol, ["admin", "read_only", "within_markets"], "all must allow");
    let market = claims.market.expect("kept to markets");
    assert_eq!((market.id.as_slice(), market.stock_location_ids.len()), (&["MktEurope1".to_owned()][..], 2));
    assert_eq!(claims.scope, "market:all", "echoed as it was asked");
    let form = [("grant_type", "refresh_token"), ("refresh_token", login.refresh_token.as_deref().unwrap())];
    let again = house.by("web", &form).await.unwrap();
    assert_eq!(house.claims(&again.access_token).market.unwrap().id, ["MktEurope1"]);
    keep(&house, |place| {
        place.applications =
            Some(vec![share("web", Some(&["MktEurope1"])), share("int", Some(&["MktEurope1"]))]);
    });
    for scope in [None, Some("market:all"), Some(" market:all"), Some("market:all market:all")] {
        let exchanged = exchange(&house, &login.access_token, scope).await.unwrap();
        let claims = house.claims(&exchanged.access_token);
        assert_eq!(claims.market.unwrap().id, ["MktEurope1"], "{scope:?}");
        assert!(claims.rol.contains(&"within_markets".to_owned()));
    }
    let elsewhere = exchange(&house, &login.access_token, Some("market:code:usa")).await.unwrap_err();
    assert_eq!(elsewhere.code, Code::InvalidScope);
    keep(&house, |place| place.applications = Some(vec![share("web", Some(&[]))]));
    let code = house.code(&[("client_id", "web")]).await;
    assert_eq!(house.redeem(&code).await.unwrap_err().code, Code::InvalidScope, "no market at all");
}

#[tokio::test]
async fn a_member_of_one_mode_gets_no_token_of_the_other() {
    let house = House::new();
    keep(&house, |place| place.modes = Some(vec![Mode::Live]));
    let consent = house.consider(&[("client_id", "web")]).unwrap();
    assert!(house.sign_in(&consent, "ada@staff.example").await.is_err(), "the application is in test mode");
    house.change_application("web", |a| a.mode = Mode::Live);
    assert_eq!(house.claims(&house.ada().await.access_token).rol, ["admin"]);
    keep(&house, |place| place.modes = Some(Vec::new()));
    assert!(house.sign_in(&consent, "ada@staff.example").await.is_err());
}

/// Least privilege: the application's role, the person's and the scope must all allow, whatever the grant.
#[tokio::test]
async fn the_role_of_the_application_stands_beside_the_person_s_in_every_grant() {
    let house = House::new();
    let orders = format!("{ACME}/orders");
    for client in ["web", "shop"] {
        house.change_application(client, |a| a.role = Some("orders".into()));
    }
    let ada = house.ada().await;
    assert_eq!(house.claims(&ada.access_token).rol, ["admin".to_owned(), orders.clone()]);
    let form = [("grant_type", "refresh_token"), ("refresh_token", ada.refresh_token.as_deref().unwrap())];
    let again = house.by("web", &form).await.unwrap();
    assert_eq!(house.claims(&again.access_token).rol, ["admin".to_owned(), orders.clone()]);
    let eva = house.eva().await;
    assert_eq!(house.claims(&eva.access_token).rol, ["sales_channel_customer".to_owned(), orders.clone()]);
    let again = house.refresh("shop", &eva.refresh_token.unwrap()).await.unwrap();
    assert_eq!(house.claims(&again.access_token).rol, ["sales_channel_customer".to_owned(), orders]);
    house.change_application("web", |a| a.role = Some("gone".into()));
    assert_eq!(house.claims(&house.ada().await.access_token).rol, ["admin", "nobody"], "a role that is gone");
}
