//! What refusals say: nothing about who exists, and always what to do.

use std::collections::BTreeSet;

use portcullis_authority::refusal::{Code, Refusal};
use portcullis_authority::registry::Scope;

use crate::house::{ACCESS_TOKEN, EXCHANGE, House, JWT_BEARER};

fn said(refusals: impl IntoIterator<Item = Refusal>) -> BTreeSet<(&'static str, String)> {
    refusals.into_iter().map(|refusal| (refusal.code.as_str(), refusal.sentence.into_owned())).collect()
}

#[tokio::test]
async fn an_unknown_account_and_a_wrong_password_read_the_same() {
    let house = House::new();
    let mut refusals = Vec::new();
    for (email, password) in [
        ("nobody@acme.example", "evas-password"),
        ("eva@acme.example", "a-wrong-password"),
        ("gone@acme.example", "gones-password"),
        ("mute@acme.example", "mutes-password"),
        ("paul@acme.example", "pauls-password"),
        ("ada@staff.example", "adas-password"),
    ] {
        refusals.push(house.customer(email, password).await.unwrap_err());
    }
    assert_eq!(refusals[0].code, Code::InvalidGrant);
    assert_eq!(said(refusals).len(), 1);
}

#[tokio::test]
async fn a_dead_refresh_token_does_not_say_why() {
    let house = House::new();
    let mut refusals = vec![house.refresh("shop", "x").await.unwrap_err()];
    let token = |reply: portcullis_authority::TokenReply| reply.refresh_token.unwrap();
    let disabled = token(house.eva().await);
    house.memory.change_person("CustEvaAAA", |person| person.disabled = true);
    let refusal = house.refresh("shop", &disabled).await.unwrap_err();
    assert!(!refusal.sentence.contains("disabled"));
    house.memory.change_person("CustEvaAAA", |person| person.disabled = false);
    let ended = token(house.eva().await);
    house.raise(Scope::Subject, "CustEvaAAA").await;
    refusals.push(house.refresh("shop", &ended).await.unwrap_err());
    let others = token(house.eva().await);
    refusals.push(house.refresh("kiosk", &others).await.unwrap_err());
    refusals.push(house.refresh("shop", &others).await.unwrap_err());
    let expired = token(house.eva().await);
    house.wait(14 * 86400);
    refusals.push(house.refresh("shop", &expired).await.unwrap_err());
    assert_eq!(said(refusals).len(), 1);
}

/// Every refusal that a stranger can get out of the token endpoint says what to do next, in a sentence that
/// a person can read, and its cause stays here.
#[tokio::test]
async fn each_sentence_says_what_to_do() {
    let house = House::new();
    let eva = house.eva().await.access_token;
    let subject = [("subject_token", eva.as_str()), ("subject_token_type", ACCESS_TOKEN)];
    let exchange =
        |more: &[(&'static str, &'static str)]| [&[("grant_type", EXCHANGE)], &subject[..], more].concat();
    let forms: [(&str, Vec<(&str, &str)>); 16] = [
        ("int", vec![("grant_type", "nothing")]),
        ("int", vec![("grant_type", "password")]),
        ("kiosk", vec![("grant_type", "password")]),
        ("nobody", vec![("grant_type", "client_credentials")]),
        ("int", vec![("grant_type", "client_credentials"), ("scope", "market")]),
        ("int", vec![("grant_type", "client_credentials"), ("scope", "market:code:nowhere")]),
        ("int", vec![("grant_type", "client_credentials"), ("scope", "stock_location:code:milan")]),
        ("int", vec![("grant_type", "refresh_token"), ("refresh_token", "x")]),
        ("int", vec![("grant_type", JWT_BEARER), ("assertion", "x")]),
        ("lonely", vec![("grant_type", JWT_BEARER), ("assertion", "x")]),
        ("plain-int", vec![("grant_type", JWT_BEARER), ("assertion", "x")]),
        ("web", vec![("grant_type", "authorization_code"), ("code", "x")]),
        (
            "shop",
            vec![
                ("grant_type", "password"),
                ("username", "eva@acme.example"),
                ("password", "wrong-password"),
            ],
        ),
        ("int", exchange(&[("audience", "x")])),
        ("int", exchange(&[("requested_token_type", "x")])),
        ("live", exchange(&[])),
    ];
    const WORDS: [&str; 19] = [
        "send",
        "ask",
        "sign in",
        "use ",
        "leave",
        "try again",
        "check",
        "name ",
        "get a",
        "operator",
        "one of",
        "sign ",
        "needs",
        "is missing",
        "is a",
        "another",
        "A scope is",
        "Sign",
        "Get",
    ];
    for (client, form) in forms {
        let Refusal { sentence, cause, .. } = house.by(client, &form).await.unwrap_err();
        assert!(sentence.ends_with('.') && sentence.len() > 20, "{sentence}");
        assert!(WORDS.iter().any(|word| sentence.contains(word)), "{sentence}");
        assert!(cause.is_empty() || !sentence.contains(cause.as_ref()), "{sentence}");
        assert!(!sentence.contains("eva@") && !sentence.contains("nowhere"), "a stranger's text: {sentence}");
    }
}
