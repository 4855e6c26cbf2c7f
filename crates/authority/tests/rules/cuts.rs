//! Ending things at an operator's word: what each kind ends and what it leaves alone.

use portcullis_authority::cuts::{Cut, CutKind, Cutting};
use portcullis_authority::operators::Denial;
use portcullis_authority::refusal::Code;

use crate::house::hands::{auditor, because, cut, operator};
use crate::house::{ACCESS_TOKEN, ACME, EXCHANGE, House, START};

async fn refused(house: &House, cut: &Cut) -> Denial {
    house.order(async |room| room.cut(&operator("op"), &because(cut)).await).await.unwrap_err()
}

#[tokio::test]
async fn a_token_ends_by_itself_or_by_its_name() {
    let house = House::new();
    for by_name in [false, true] {
        let eva = house.eva().await;
        let jti = house.claims(&eva.access_token).jti;
        let named = if by_name { jti.as_str() } else { eva.access_token.as_str() };
        house.end(CutKind::Token, named).await;
        assert!(house.check(&eva.access_token).is_err());
        house.refresh("shop", eva.refresh_token.as_deref().unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_login_ends_by_its_name_and_by_either_of_its_tokens() {
    let house = House::new();
    for way in 0..3 {
        let (eva, other) = (house.eva().await, house.eva().await);
        let sid = house.claims(&eva.access_token).sid.unwrap();
        let refresh = eva.refresh_token.as_deref().unwrap();
        let named = [sid.as_str(), eva.access_token.as_str(), refresh][way];
        house.end(CutKind::Login, named).await;
        assert!(house.check(&eva.access_token).is_err());
        assert_eq!(house.refresh("shop", refresh).await.unwrap_err().code, Code::InvalidGrant);
        house.claims(&other.access_token);
    }
}

#[tokio::test]
async fn a_person_ends_everywhere_and_nobody_else_does() {
    let house = House::new();
    let (eva, vip) = (house.eva().await, house.customer("vip@acme.example", "vips-password").await.unwrap());
    house.end(CutKind::Person, "CustEvaAAA").await;
    assert!(house.check(&eva.access_token).is_err());
    let refresh = eva.refresh_token.as_deref().unwrap();
    assert_eq!(house.refresh("shop", refresh).await.unwrap_err().code, Code::InvalidGrant);
    house.claims(&vip.access_token);
    house.claims(&house.eva().await.access_token);
}

#[tokio::test]
async fn a_user_is_found_by_address_and_their_personal_credential_ends() {
    let house = House::new();
    let ada = house.client_credentials("me").await.access_token;
    house.end(CutKind::Person, "ada@staff.example").await;
    assert!(house.check(&ada).is_err());
}

#[tokio::test]
async fn an_application_ends_with_everything_that_it_obtained() {
    let house = House::new();
    let (int, eva) = (house.client_credentials("int").await.access_token, house.eva().await);
    house.end(CutKind::Application, "app-int").await;
    assert!(house.check(&int).is_err());
    house.claims(&eva.access_token);
}

#[tokio::test]
async fn an_actor_ends_wherever_it_stands_in_a_chain() {
    let house = House::new();
    let eva = house.eva().await;
    let acted = exchanged(&house, "int", &eva.access_token).await;
    let twice = exchanged(&house, "int2", &acted).await;
    let other = exchanged(&house, "int3", &eva.access_token).await;
    house.end(CutKind::Actor, "client:int").await;
    assert!(house.check(&acted).is_err());
    assert!(house.check(&twice).is_err(), "int stands below int2");
    house.claims(&other);
    house.claims(&eva.access_token);
}

async fn exchanged(house: &House, client: &str, token: &str) -> String {
    let form = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
    house.by(client, &form).await.unwrap().access_token
}

#[tokio::test]
async fn a_role_ends_for_its_members_and_its_applications() {
    let house = House::new();
    let int = house.client_credentials("int").await.access_token;
    let lonely = house.client_credentials("lonely").await.access_token;
    let ada = house.ada().await;
    house.end(CutKind::Role, "acme/orders").await;
    assert!(house.check(&int).is_err());
    house.claims(&lonely);
    house.refresh_at_web(&ada).await.unwrap();
    house.end(CutKind::Role, "acme/boss").await;
    assert_eq!(house.refresh_at_web(&ada).await.unwrap_err().code, Code::InvalidGrant);
}

#[tokio::test]
async fn what_does_not_exist_is_not_ended() {
    let house = House::new();
    let unknown = [
        (CutKind::Token, "x"),
        (CutKind::Login, "AAAAAAAAAAAAAAAAAAAAAA"),
        (CutKind::Login, "x"),
        (CutKind::Person, "nobody"),
        (CutKind::Person, "nobody@acme.example"),
        (CutKind::Application, "nobody"),
        (CutKind::Actor, "client:nobody"),
        (CutKind::Actor, "int"),
        (CutKind::Role, "acme/nobody"),
        (CutKind::Role, "nobody/boss"),
        (CutKind::Key, "eu1.x"),
        (CutKind::Organization, "nobody"),
    ];
    for (kind, id) in unknown {
        let answer = refused(&house, &cut(kind, id)).await;
        assert!(matches!(answer, Denial::Missing(_)), "{kind:?} {id}: {answer:?}");
    }
    let malformed = [
        (CutKind::Person, " "),
        (CutKind::Everything, "x"),
        (CutKind::Role, "boss"),
        (CutKind::Person, "a\0b"),
    ];
    for (kind, id) in malformed {
        let answer = refused(&house, &cut(kind, id)).await;
        assert!(matches!(answer, Denial::Invalid(_)), "{kind:?} {id:?}: {answer:?}");
    }
    assert!(house.memory.audit().iter().all(|record| record.event != "cut.made"));
}

#[tokio::test]
async fn every_cut_names_its_operator_and_its_reason_in_the_audit() {
    let house = House::new();
    let eva = house.eva().await;
    house.end(CutKind::Token, &eva.access_token).await;
    house.end(CutKind::Person, "CustEvaAAA").await;
    let audit = house.memory.audit();
    let made: Vec<_> = audit.iter().filter(|record| record.event == "cut.made").collect();
    assert_eq!(made.len(), 2);
    for record in made {
        assert_eq!(record.actors, ["operator:op"]);
        assert_eq!(record.reason.as_deref(), Some("INC-7: laptop stolen"));
    }
}

#[tokio::test]
async fn nobody_ends_anything_without_a_reason_or_with_a_role_that_only_looks() {
    let house = House::new();
    let eva = cut(CutKind::Person, "CustEvaAAA");
    let silent = Cutting { reason: "  ", ..because(&eva) };
    let answer = house.order(async |room| room.cut(&operator("op"), &silent).await).await;
    assert!(matches!(answer, Err(Denial::Invalid(_))));
    let answer = house.order(async |room| room.cut(&auditor("au"), &because(&eva)).await).await;
    assert!(matches!(answer, Err(Denial::Forbidden(_))));
}

#[tokio::test]
async fn a_preview_counts_and_ends_nothing() {
    let house = House::new();
    let (first, second) = (house.eva().await, house.eva().await);
    house.wait(10);
    house.refresh("shop", second.refresh_token.as_deref().unwrap()).await.unwrap();
    let eva = cut(CutKind::Person, "CustEvaAAA");
    let seen = house.order(async |room| room.preview(&eva).await).await.unwrap();
    assert_eq!((seen.logins, seen.people, seen.applications, seen.organizations), (2, 1, 1, 1));
    assert_eq!((seen.tokens, seen.last_used, seen.wide, seen.complete), (3, Some(START + 10), false, true));
    assert_eq!(seen.names.applications, ["shop"]);
    house.claims(&first.access_token);
    house.end(CutKind::Person, "CustEvaAAA").await;
    let after = house.order(async |room| room.preview(&eva).await).await.unwrap();
    assert_eq!(after.logins, 0);
}

#[tokio::test]
async fn a_login_that_a_wider_cut_has_ended_is_not_counted_as_alive() {
    let house = House::new();
    house.eva().await;
    house.end(CutKind::Application, "shop").await;
    for (kind, id) in [(CutKind::Person, "CustEvaAAA"), (CutKind::Organization, ACME)] {
        let named = cut(kind, id);
        let seen = house.order(async |room| room.preview(&named).await).await.unwrap();
        assert_eq!(seen.logins, 0, "{kind:?}");
    }
}

#[tokio::test]
async fn what_was_previewed_is_what_is_ended() {
    let house = House::new();
    let (eva, vip) = (cut(CutKind::Person, "CustEvaAAA"), cut(CutKind::Person, "CustVipAAA"));
    let seen = house.order(async |room| room.preview(&eva).await).await.unwrap();
    let other = Cutting { digest: Some(&seen.digest), ..because(&vip) };
    let answer = house.order(async |room| room.cut(&operator("op"), &other).await).await;
    assert!(matches!(answer, Err(Denial::Conflict(_))));
    let same = Cutting { digest: Some(&seen.digest), ..because(&eva) };
    house.order(async |room| room.cut(&operator("op"), &same).await).await.unwrap();
}
