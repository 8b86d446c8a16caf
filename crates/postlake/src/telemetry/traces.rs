//! Traces for an OpenTelemetry collector, in builds that have the feature `otel`: what one request, one
//! landing, one pass and one delivery took. Sent over OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` (or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) is set; the other `OTEL_*` variables mean what they always mean.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing::{Level, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{Filtered, Targets};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// The parts whose spans are sent. Those of libraries may hold values of rows.
const PARTS: [&str; 3] = ["postlake", "postlake_receiver", "postlake_loader"];

type Traces<S> = Filtered<OpenTelemetryLayer<S, Tracer>, Targets, S>;

/// Sends what is left when it is dropped.
#[derive(Debug)]
pub(crate) struct Flush(SdkTracerProvider);

impl Drop for Flush {
    fn drop(&mut self) {
        // A collector that is away must not hold up the end of the program: this has a time limit.
        if let Err(error) = self.0.shutdown() {
            tracing::warn!("traces were not sent: {error}");
        }
    }
}

/// The layer and what flushes it; nothing when no collector is named or it cannot be spoken to.
pub(super) fn layer<S>() -> Option<(Traces<S>, Flush)>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if !super::wants_traces() {
        return None;
    }
    let exporter = SpanExporter::builder().with_http().build().ok()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("postlake").build())
        .build();
    let parts = PARTS.map(|part| (part, Level::INFO));
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("postlake"))
        .with_location(false)
        .with_threads(false)
        .with_filter(Targets::new().with_targets(parts));
    Some((layer, Flush(provider)))
}
