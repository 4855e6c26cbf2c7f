//! On behalf of somebody, by token exchange.

use portcullis_authority::TokenReply;
use portcullis_authority::refusal::{Code, Refusal};
use portcullis_authority::registry::Scope;
use portcullis_guard::Denied;
use portcullis_guard::claims::OwnerKind;
use portcullis_guard::feed::Kind;
use serde_json::json;

use crate::house::{ACCESS_TOKEN, ACME, EXCHANGE, House};

async fn exchange(
    house: &House,
    client: &str,
    subject: &str,
    more: &[(&str, &str)],
) -> Result<TokenReply, Refusal> {
    let form = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ACCESS_TOKEN)];
    house.by(client, &[&form[..], more].concat()).await
}

async fn refused(house: &House, client: &str, subject: &str, more: &[(&str, &str)]) -> Code {
    exchange(house, client, subject, more).await.unwrap_err().code
}

#[tokio::test]
async fn the_token_says_for_whom_and_through_whom() {
    let house = House::new();
    let eva = house.eva().await;
    let subject = house.claims(&eva.access_token);
    let reply = exchange(&house, "int", &eva.access_token, &[]).await.unwrap();
    let mut names: Vec<String> =
        serde_json::to_value(&reply).unwrap().as_object().unwrap().keys().cloned().collect();
    names.sort();
    let expected = [
        "access_token",
        "created_at",
        "expires_in",
        "issued_token_type",
        "owner_id",
        "owner_type",
        "scope",
        "token_type",
    ];
    assert_eq!(names, expected, "and no refresh token");
    assert_eq!(reply.issued_token_type, Some(ACCESS_TOKEN));
    let claims = house.claims(&reply.access_token);
    assert_eq!((&claims.sub, &claims.sid, &claims.scope), (&subject.sub, &subject.sid, &subject.scope));
    assert_eq!(claims.rol, ["sales_channel_customer".to_owned(), format!("{ACME}/orders")]);
    let act = serde_json::to_value(&claims.act).unwrap();
    assert_eq!(
        (&act["sub"], &act["client_id"], &act["gv"]),
        (&json!("client:int"), &json!("int"), &json!(0))
    );
    assert_eq!(act["from"]["jti"], subject.jti);
    assert_eq!(act["from"]["client_id"], subject.client_id);
    assert_eq!(act["from"]["sid"], json!(subject.sid));
    assert!(act["from"]["kid"].as_str().is_some_and(|kid| !kid.is_empty()));
}

#[tokio::test]
async fn chains_nest_to_three_and_no_further() {
    let house = House::new();
    let mut token = house.eva().await.access_token;
    let mut jtis = Vec::new();
    for client in ["int", "int2", "int3"] {
        jtis.push(house.claims(&token).jti);
        token = exchange(&house, client, &token, &[]).await.unwrap().access_token;
    }
    let claims = house.claims(&token);
    let actors: Vec<_> =
        claims.actors().map(|actor| (actor.sub.as_str(), actor.from.clone().unwrap().jti)).collect();
    let expected = [("client:int3", &jtis[2]), ("client:int2", &jtis[1]), ("client:int", &jtis[0])];
    assert_eq!(actors, expected.map(|(sub, jti)| (sub, jti.clone())));
    assert_eq!(refused(&house, "int4", &token, &[]).await, Code::InvalidRequest);
}

#[tokio::test]
async fn nobody_stands_twice_in_a_chain() {
    let house = House::new();
    let once = exchange(&house, "int", &house.eva().await.access_token, &[]).await.unwrap().access_token;
    assert_eq!(refused(&house, "int", &once, &[]).await, Code::InvalidRequest);
    let through = exchange(&house, "int2", &once, &[]).await.unwrap().access_token;
    assert_eq!(refused(&house, "int", &through, &[]).await, Code::InvalidRequest, "a circle");
}

#[tokio::test]
async fn only_a_live_access_token_of_ours_and_of_this_organization_is_exchanged() {
    let house = House::new();
    let eva = house.eva().await;
    let form = [("client_id", "plain-shop"), ("grant_type", "password"), ("username", "paul@acme.example")];
    let paul = house.token(&[&form[..], &[("password", "pauls-password")]].concat()).await.unwrap();
    let mut forged = eva.access_token.clone();
    forged.replace_range(forged.len() - 4.., "AAAA");
    let personal = house.client_credentials("me").await;
    for bad in
        [eva.refresh_token.as_deref().unwrap(), &paul.access_token, &personal.access_token, &forged, "x"]
    {
        assert_eq!(refused(&house, "int", bad, &[]).await, Code::InvalidGrant, "{bad}");
    }
    let nobody = house.client_credentials("int2").await;
    assert_eq!(refused(&house, "int", &nobody.access_token, &[]).await, Code::InvalidRequest);
    for kind in
        ["urn:ietf:params:oauth:token-type:refresh_token", "urn:ietf:params:oauth:token-type:id_token", ""]
    {
        let form =
            [("grant_type", EXCHANGE), ("subject_token", &eva.access_token), ("subject_token_type", kind)];
        assert_eq!(house.by("int", &form).await.unwrap_err().code, Code::InvalidRequest, "{kind}");
    }
    house.revoke(&[("client_id", "shop"), ("token", &eva.access_token)]).await.unwrap();
    assert_eq!(refused(&house, "int", &eva.access_token, &[]).await, Code::InvalidGrant, "revoked");
    let eva = house.eva().await;
    house.wait(7200);
    assert_eq!(
        refused(&house, "int", &eva.access_token, &[]).await,
        Code::InvalidGrant,
        "expired, within the leeway"
    );
    house.wait(30);
    assert_eq!(refused(&house, "int", &eva.access_token, &[]).await, Code::InvalidGrant, "expired");
}

#[tokio::test]
async fn it_outlives_no_token_that_was_shown() {
    let house = House::new();
    let code = house.code(&[("client_id", "web")]).await;
    let ada = house.redeem(&code).await.unwrap();
    house.wait(3000);
    let eva = house.eva().await;
    house.wait(1000);
    let reply = exchange(&house, "web", &eva.access_token, &[]).await.unwrap();
    assert_eq!(reply.expires_in, 6200, "the subject's");
    let actor = [("actor_token", ada.access_token.as_str()), ("actor_token_type", ACCESS_TOKEN)];
    let reply = exchange(&house, "web", &eva.access_token, &actor).await.unwrap();
    assert_eq!(reply.expires_in, 3200, "the actor's");
    house.change_application("web", |application| application.access_lifetime = Some(60));
    assert_eq!(exchange(&house, "web", &eva.access_token, &[]).await.unwrap().expires_in, 60, "its own");
}

#[tokio::test]
async fn an_actor_token_names_who_acts_through_the_client() {
    let house = House::new();
    let (ada, eva) = (house.ada().await, house.eva().await);
    let (ada_claims, eva_claims) = (house.claims(&ada.access_token), house.claims(&eva.access_token));
    let actor = [("actor_token", ada.access_token.as_str()), ("actor_token_type", ACCESS_TOKEN)];
    let reply = exchange(&house, "web", &eva.access_token, &actor).await.unwrap();
    let act = house.claims(&reply.access_token).act.unwrap();
    let (top, below) = (act.from.unwrap(), act.act.unwrap());
    assert_eq!((act.sub.as_str(), act.client_id.as_str(), top.jti), ("client:web", "web", eva_claims.jti));
    assert_eq!((below.sub.as_str(), below.client_id.as_str()), ("UserAdaAAA", "web"));
    assert_eq!(below.from.map(|shown| (shown.jti, shown.sid)), Some((ada_claims.jti, ada_claims.sid)));
    house.raise(Scope::Actor, "UserAdaAAA").await;
    assert_eq!(house.check(&reply.access_token), Err(Denied::Revoked(Kind::Actor)));
}

#[tokio::test]
async fn an_actor_token_is_the_callers_own_alive_and_undelegated() {
    let house = House::new();
    let (ada, eva) = (house.ada().await.access_token, house.eva().await.access_token);
    let own = house.client_credentials("int").await.access_token;
    let delegated = exchange(&house, "int", &eva, &[]).await.unwrap().access_token;
    let refresh = house.ada().await.refresh_token.unwrap();
    let with = |token| [("actor_token", token), ("actor_token_type", ACCESS_TOKEN)];
    assert!(exchange(&house, "int", &eva, &with(own.as_str())).await.is_ok());
    for (client, token) in
        [("int", ada.as_str()), ("web", &own), ("int", &delegated), ("web", &refresh), ("web", "x")]
    {
        assert_eq!(refused(&house, client, &eva, &with(token)).await, Code::InvalidGrant, "{client} {token}");
    }
    assert_eq!(refused(&house, "web", &eva, &with(ada.as_str())[..1]).await, Code::InvalidRequest, "no type");
    assert_eq!(
        refused(&house, "web", &eva, &with(ada.as_str())[1..]).await,
        Code::InvalidRequest,
        "no token"
    );
    house.change_application("web", |a| {
        a.on_behalf_of.owner_types = vec![OwnerKind::User, OwnerKind::Customer]
    });
    assert_eq!(refused(&house, "web", &ada, &with(ada.as_str())).await, Code::InvalidRequest, "for herself");
    house.memory.change_person("UserAdaAAA", |person| person.disabled = true);
    assert_eq!(refused(&house, "web", &eva, &with(ada.as_str())).await, Code::InvalidGrant);
    house.memory.change_person("UserAdaAAA", |person| person.disabled = false);
    house.raise(Scope::Subject, "UserAdaAAA").await;
    assert_eq!(refused(&house, "web", &eva, &with(ada.as_str())).await, Code::InvalidGrant);
}

#[tokio::test]
async fn scope_is_narrowed_and_never_widened() {
    let house = House::new();
    let form = [("client_id", "shop"), ("grant_type", "password"), ("username", "eva@acme.example")];
    let held = "market:code:europe stock_location:code:milan";
    let more = [("password", "evas-password"), ("scope", held)];
    let eva = house.token(&[&form[..], &more].concat()).await.unwrap().access_token;
    assert_eq!(exchange(&house, "int", &eva, &[]).await.unwrap().scope, held);
    for scope in ["market:all", "market:code:usa", "market:code:europe", "market:code:europe market:code:usa"]
    {
        assert_eq!(refused(&house, "int", &eva, &[("scope", scope)]).await, Code::InvalidScope, "{scope}");
    }
    let everywhere = house.eva().await.access_token;
    let reply = exchange(&house, "int", &everywhere, &[("scope", "market:code:usa")]).await.unwrap();
    assert_eq!(house.claims(&reply.access_token).market.unwrap().id, ["MktUsaAAAA"]);
    assert_eq!(refused(&house, "int", &reply.access_token, &[]).await, Code::InvalidRequest, "itself again");
    assert_eq!(
        refused(&house, "int2", &reply.access_token, &[("scope", "market:all")]).await,
        Code::InvalidScope
    );
    assert_eq!(
        refused(&house, "int", &everywhere, &[("scope", "market:code:vips")]).await,
        Code::InvalidScope
    );
    house.change_application("int", |application| application.scopes = vec!["market:code:usa".into()]);
    assert_eq!(refused(&house, "int", &eva, &[]).await, Code::InvalidScope, "more than the caller may have");
}

#[tokio::test]
async fn audience_and_environment_are_not_crossed() {
    let house = House::new();
    let eva = house.eva().await.access_token;
    for target in [("audience", "reports"), ("resource", "https://reports.example")] {
        assert_eq!(refused(&house, "int", &eva, &[target]).await, Code::InvalidTarget);
    }
    assert_eq!(refused(&house, "reports", &eva, &[]).await, Code::InvalidGrant, "another audience");
    assert_eq!(refused(&house, "live", &eva, &[]).await, Code::InvalidGrant, "a test token stays a test");
    let requested = [("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")];
    assert_eq!(refused(&house, "int", &eva, &requested).await, Code::InvalidRequest);
    assert!(exchange(&house, "int", &eva, &[("requested_token_type", ACCESS_TOKEN)]).await.is_ok());
}

#[tokio::test]
async fn who_may_act_is_the_operators_word() {
    let house = House::new();
    let (eva, ada) = (house.eva().await.access_token, house.ada().await.access_token);
    for client in ["lonely", "plain-int", "shop", "me"] {
        assert_eq!(refused(&house, client, &eva, &[]).await, Code::UnauthorizedClient, "{client}");
    }
    assert!(exchange(&house, "int", &ada, &[]).await.is_ok());
    assert_eq!(
        refused(&house, "int2", &ada, &[]).await,
        Code::UnauthorizedClient,
        "customers unless told otherwise"
    );
    let form = [("client_id", "int"), ("grant_type", EXCHANGE), ("subject_token", &eva)];
    assert_eq!(house.token(&form).await.unwrap_err().code, Code::InvalidClient);
}

#[tokio::test]
async fn rights_are_those_of_the_login_of_today_and_of_the_caller() {
    let house = House::new();
    let ada = house.ada().await.access_token;
    house.memory.change_memberships(|places| places.iter_mut().for_each(|place| place.role = "eyes".into()));
    let reply = exchange(&house, "int", &ada, &[]).await.unwrap();
    let expected = ["admin".to_owned(), "read_only".into(), format!("{ACME}/orders")];
    assert_eq!(house.claims(&reply.access_token).rol, expected, "all must allow");
    house.memory.change_memberships(|places| places.iter_mut().for_each(|place| place.active = false));
    assert_eq!(refused(&house, "int", &ada, &[]).await, Code::InvalidGrant);
}

#[tokio::test]
async fn whoever_it_came_through_must_still_be_there() {
    let house = House::new();
    let eva = house.eva().await.access_token;
    let through = exchange(&house, "int", &eva, &[]).await.unwrap().access_token;
    house.change_application("int", |application| application.disabled = true);
    assert_eq!(refused(&house, "int", &eva, &[]).await, Code::InvalidClient);
    assert_eq!(refused(&house, "int2", &through, &[]).await, Code::InvalidGrant, "an actor of before");
    assert!(exchange(&house, "int2", &eva, &[]).await.is_ok());
    house.change_application("shop", |application| application.disabled = true);
    assert_eq!(refused(&house, "int2", &eva, &[]).await, Code::InvalidGrant, "where it was issued");
    house.change_application("shop", |application| application.disabled = false);
    house.memory.change_person("CustEvaAAA", |person| person.disabled = true);
    assert_eq!(refused(&house, "int2", &eva, &[]).await, Code::InvalidGrant, "the subject");
}

#[tokio::test]
async fn it_dies_with_the_login_the_token_and_any_actor() {
    let house = House::new();
    let fresh = || async {
        let eva = house.eva().await;
        let first = exchange(&house, "int", &eva.access_token, &[]).await.unwrap().access_token;
        let second = exchange(&house, "int2", &first, &[]).await.unwrap().access_token;
        house.claims(&second);
        (eva, second)
    };
    let (eva, token) = fresh().await;
    house.revoke(&[("client_id", "shop"), ("token", eva.refresh_token.as_deref().unwrap())]).await.unwrap();
    assert_eq!(house.check(&token), Err(Denied::Revoked(Kind::Family)));
    let (eva, token) = fresh().await;
    house.revoke(&[("client_id", "shop"), ("token", &eva.access_token)]).await.unwrap();
    assert_eq!(house.check(&token), Err(Denied::Revoked(Kind::Token)));
    let (_, token) = fresh().await;
    house.raise(Scope::Actor, "client:int").await;
    assert_eq!(house.check(&token), Err(Denied::Revoked(Kind::Actor)), "in the middle of the chain");
    let (_, token) = fresh().await;
    house.raise(Scope::Subject, "CustEvaAAA").await;
    assert_eq!(house.check(&token), Err(Denied::Revoked(Kind::Subject)));
}
