//! Spans of requests for those who follow one over several services, sent as OTLP over HTTP.
//!
//! A span holds what the request's line in the log holds, and no more: the pattern of its route and never its
//! address, a client's name only when it is one of ours. The collector's absence costs spans and nothing else:
//! they wait in a bounded queue, and what finds no place there is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::web::Bytes;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use portcullis_authority::refusal::Trouble;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::settings;

/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the last spans may take when the server ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// Makes spans and sends them off.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    follow_callers: bool,
}

/// The trace that a caller is in (W3C Trace Context, section 3.2).
#[derive(Clone, Debug)]
pub struct Caller(SpanContext);

impl Caller {
    /// What the request says of it, if that is sane.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        let flags = parts.next()?;
        let hex = |text: &str, long: usize| {
            text.len() == long && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
        };
        let sane = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        if !sane {
            return None;
        }
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1);
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        let said = SpanContext::new(trace, span, flags, true, TraceState::default());
        said.is_valid().then_some(Self(said))
    }

    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }
}

/// The span of one request. [`Visit::context`] has to be current while it is worked on.
pub struct Visit(Context);

/// What is known of a request once it is answered.
pub struct Answered<'a> {
    pub method: &'a str,
    pub route: Option<&'a str>,
    pub status: u16,
    pub request_id: &'a str,
    pub client_id: Option<&'a str>,
}

/// What a step within a request needs to become a span of its own.
#[derive(Clone)]
struct Hand(SdkTracer);

/// A span within a request's, ended by letting it go.
pub(super) struct Step(Option<Context>);

impl Traces {
    /// What the settings ask for: nothing, without an endpoint.
    ///
    /// # Errors
    /// Trouble with the certificate file or the address.
    pub fn of(settings: &settings::Traces) -> Result<Option<Self>, Trouble> {
        let Some(collector) = settings.collector() else { return Ok(None) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Postman::new(settings)?)
            .with_retry_policy(RetryPolicy::disabled())
            .with_endpoint(collector)
            .with_timeout(PATIENCE)
            .build()
            .map_err(trouble)?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder_empty()
            .with_service_name(settings.service.clone())
            .with_attribute(version)
            .build();
        let ratio = Sampler::TraceIdRatioBased(settings.ratio);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("portcullis");
        Ok(Some(Self { provider, tracer, follow_callers: settings.follow_callers }))
    }

    /// A request has come.
    pub fn begin(&self, caller: Option<&Caller>) -> Visit {
        let span = self.tracer.span_builder("request").with_kind(SpanKind::Server);
        let root = Context::new();
        let span = match caller {
            Some(caller) if self.follow_callers => {
                span.start_with_context(&self.tracer, &root.with_remote_span_context(caller.0.clone()))
            }
            Some(caller) => span
                .with_links(vec![opentelemetry::trace::Link::with_context(caller.0.clone())])
                .start_with_context(&self.tracer, &root),
            None => span.start_with_context(&self.tracer, &root),
        };
        Visit(root.with_value(Hand(self.tracer.clone())).with_span(span))
    }

    /// Sends what waits; blocks for so long.
    pub fn close(&self) {
        if let Err(why) = self.provider.shutdown_with_timeout(FAREWELL) {
            tracing::warn!(%why, "the last spans were not sent");
        }
    }
}

impl Visit {
    pub fn context(&self) -> Context {
        self.0.clone()
    }

    pub fn trace_id(&self) -> String {
        self.0.span().span_context().trace_id().to_string()
    }

    /// Attribute names are those of the semantic conventions for HTTP.
    pub fn end(self, answered: &Answered<'_>) {
        let span = self.0.span();
        let route = answered.route.unwrap_or("none");
        span.update_name(format!("{} {route}", answered.method));
        span.set_attribute(KeyValue::new("http.request.method", answered.method.to_owned()));
        span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(answered.status)));
        span.set_attribute(KeyValue::new("portcullis.request_id", answered.request_id.to_owned()));
        if let Some(client) = answered.client_id {
            span.set_attribute(KeyValue::new("portcullis.client_id", client.to_owned()));
        }
        if answered.status >= 500 {
            span.set_attribute(KeyValue::new("error.type", answered.status.to_string()));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// Begins a span within the request that is worked on, if it is one that is kept.
pub(super) fn step(name: &'static str) -> Step {
    let current = Context::current();
    let hand = current.get::<Hand>().filter(|_| current.span().is_recording());
    Step(hand.map(|hand| {
        let span = hand.0.span_builder(name).start_with_context(&hand.0, &current);
        current.with_span(span)
    }))
}

impl Step {
    /// Says how it went.
    pub fn failed(&self) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(""));
        }
    }

    pub fn note(&self, name: &'static str, word: &'static str) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(name, word));
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// Brings batches to the collector, on the thread of whoever sends: the exporter has one of its own.
struct Postman {
    agent: Agent,
    /// Whether the last one did not arrive, so that only changes are said.
    away: AtomicBool,
}

impl Postman {
    fn new(settings: &settings::Traces) -> Result<Self, Trouble> {
        let mut tls = TlsConfig::builder().provider(TlsProvider::Rustls);
        if let Some(file) = &settings.root_certificate {
            let pem = std::fs::read(file).map_err(|e| trouble(format!("{}: {e}", file.display())))?;
            let mut certificates = Vec::new();
            for item in parse_pem(&pem) {
                if let PemItem::Certificate(certificate) =
                    item.map_err(|e| trouble(format!("{}: {e}", file.display())))?
                {
                    certificates.push(certificate);
                }
            }
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        }
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, away: AtomicBool::new(false) })
    }

    fn bring(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(head, body.to_vec()))?;
        let (head, mut body) = answer.into_parts();
        Ok(Response::from_parts(head, Bytes::from(body.read_to_vec()?)))
    }
}

#[async_trait::async_trait]
impl HttpClient for Postman {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.bring(request);
        let trouble = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status().as_u16())),
            Err(why) => Some(why.to_string()),
        };
        let away = trouble.is_some();
        if self.away.swap(away, Ordering::Relaxed) != away {
            match trouble {
                Some(why) => tracing::warn!(why, "spans do not reach the collector and are lost"),
                None => tracing::info!("spans reach the collector again"),
            }
        }
        answer
    }
}

impl std::fmt::Debug for Postman {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Postman")
    }
}

fn trouble(why: impl std::fmt::Display) -> Trouble {
    Trouble::new("traces", why)
}

/// Shared by all who make spans.
pub type Tracing = Option<Arc<Traces>>;

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn told(text: &'static str) -> Option<Caller> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("traceparent"), HeaderValue::from_static(text));
        Caller::of(&headers)
    }

    #[test]
    fn a_trace_is_taken_over_when_it_is_one() {
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let caller = told(sound).expect("it is sound");
        assert_eq!(caller.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(caller.0.is_sampled());
        assert!(
            !told("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").expect("sound").0.is_sampled()
        );
        for wrong in [
            "",
            "00",
            "00-hush",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert!(told(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_step_outside_of_a_request_is_none() {
        assert!(step("commit").0.is_none());
    }
}
