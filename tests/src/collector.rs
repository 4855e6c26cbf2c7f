//! An OpenTelemetry collector: takes spans as OTLP over HTTP and gives them back by name.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::receiver::read;

/// Listens until the test ends.
pub struct Collector {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let theirs = requests.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                // Whoever hangs up in the middle has brought nothing.
                let Ok(request) = read(&stream) else { continue };
                let batch =
                    ExportTraceServiceRequest::decode(request.body.as_slice()).expect("spans in OTLP");
                theirs.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                // It does not matter to a collector whether its thanks arrive.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { address, requests }
    }

    /// Everything that came, as text, for a search.
    pub fn said(&self) -> String {
        format!("{:?}", self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|it| &it.scope_spans).flat_map(|it| it.spans.clone()).collect()
    }

    /// Waits for the span of a request with this id.
    pub async fn wait_for(&self, request_id: &str) -> Span {
        let began = Instant::now();
        loop {
            let found =
                self.spans().into_iter().find(|span| text(span, "portcullis.request_id") == request_id);
            if let Some(span) = found {
                return span;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "no span of {request_id}: {}", self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// An attribute in the form that a person would read; without it, nothing.
pub fn text(span: &Span, name: &str) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}
