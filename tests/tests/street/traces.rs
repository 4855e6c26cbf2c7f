//! What a collector of traces is told: which requests there were, of what steps they consisted, whose trace
//! they belong to; never what was said in them.

use portcullis_tests::client::{BACKEND, STOREFRONT};
use portcullis_tests::collector::{Collector, text};
use portcullis_tests::ports::free_port;
use portcullis_tests::{Answer, Ground, Town};
use url::Url;

use super::telemetry::story;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

async fn town(ground: &Ground, collector: &Collector, follow_callers: bool) -> Town {
    let endpoint = Url::parse(&format!("http://{}", collector.address)).expect("an address");
    Town::open_with(ground, |settings| {
        settings.traces.endpoint = Some(endpoint);
        settings.traces.ratio = 1.0;
        settings.traces.follow_callers = follow_callers;
    })
    .await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asks for a token as part of a trace, which the caller keeps or does not.
async fn ask(town: &Town, request_id: &str, kept: &str) -> Answer {
    let form = BACKEND.form(&[("grant_type", "client_credentials")]);
    let asked = town
        .post("/oauth/token")
        .form(&form)
        .header("x-request-id", request_id)
        .header("traceparent", format!("00-{TRACE}-{SPAN}-{kept}"));
    Answer::to(asked).await.with_status(200)
}

pub async fn spans_tell_of_requests_and_their_steps_and_of_no_secret(ground: &Ground) {
    let collector = Collector::open();
    let mut town = town(ground, &collector, false).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    let said = story(&town).await;
    ask(&town, "the-last-of-the-story", "01").await;
    let span = collector.wait_for("the-last-of-the-story").await;
    assert_eq!(span.name, "POST /oauth/token");
    assert_eq!(text(&span, "http.route"), "/oauth/token");
    assert_eq!(text(&span, "http.response.status_code"), "200");
    assert_eq!(text(&span, "portcullis.client_id"), BACKEND.id);
    let steps: Vec<_> =
        collector.spans().into_iter().filter(|it| it.parent_span_id == span.span_id).collect();
    for name in ["sign", "commit"] {
        let step = steps.iter().find(|step| step.name == name);
        let step = step.unwrap_or_else(|| panic!("no {name} in {steps:?}"));
        assert_eq!(step.trace_id, span.trace_id);
        assert!(step.start_time_unix_nano >= span.start_time_unix_nano, "{step:?}");
        assert!(step.end_time_unix_nano <= span.end_time_unix_nano, "{step:?}");
    }
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    assert!(names.iter().any(|name| name == "password"), "{names:?}");
    assert!(names.iter().any(|name| name == "read login"), "{names:?}");
    let told = collector.said();
    for secret in said.iter().map(String::as_str).chain(["hush", "jane@example.com"]) {
        assert!(!told.contains(secret), "{secret} is among the spans");
    }
}

pub async fn a_stranger_decides_nothing_about_traces_unless_told_so(ground: &Ground) {
    let collector = Collector::open();
    let shut = town(ground, &collector, false).await;
    ask(&shut, "a-caller-is-linked", "00").await;
    let span = collector.wait_for("a-caller-is-linked").await;
    assert_ne!(hex(&span.trace_id), TRACE);
    assert!(span.parent_span_id.is_empty(), "{span:?}");
    assert_eq!(span.links.iter().map(|link| hex(&link.trace_id)).collect::<Vec<_>>(), [TRACE]);

    let open = town(ground, &collector, true).await;
    ask(&open, "a-caller-keeps-nothing", "00").await;
    ask(&open, "a-caller-is-followed", "01").await;
    let span = collector.wait_for("a-caller-is-followed").await;
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), SPAN.into()));
    let kept = collector.spans().into_iter().map(|span| text(&span, "portcullis.request_id"));
    assert!(kept.into_iter().all(|id| id != "a-caller-keeps-nothing"));
}

pub async fn a_server_that_ends_sends_its_last_spans(ground: &Ground) {
    let collector = Collector::open();
    let town = town(ground, &collector, false).await;
    ask(&town, "the-last-request-of-all", "01").await;
    drop(town);
    let ids: Vec<_> = collector.spans().iter().map(|span| text(span, "portcullis.request_id")).collect();
    assert!(ids.iter().any(|id| id == "the-last-request-of-all"), "{ids:?}");
}

pub async fn a_collector_that_is_away_costs_nobody_anything(ground: &Ground) {
    let nobody = free_port().expect("a free port");
    let endpoint = Url::parse(&format!("http://127.0.0.1:{nobody}")).expect("an address");
    let town = Town::open_with(ground, |settings| {
        settings.traces.endpoint = Some(endpoint);
        settings.traces.ratio = 1.0;
    })
    .await;
    for _ in 0..20 {
        ask(&town, "nobody-will-hear-of-it", "01").await;
    }
    town.jane(&STOREFRONT).await;
}
