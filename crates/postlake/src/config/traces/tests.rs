use super::*;

const ON: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

fn read_from(variables: &[(&str, &str)]) -> Result<Option<TraceSettings>, Vec<Fault>> {
    read(&|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| Ok((*value).to_owned()))
    })
}

fn settings(variables: &[(&str, &str)]) -> TraceSettings {
    read_from(variables).unwrap().unwrap()
}

#[test]
fn traces_are_off_unless_a_collector_is_named() {
    for off in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "wrong")],
        &[ON, ("OTEL_SDK_DISABLED", "TRUE")],
        &[ON, ("OTEL_TRACES_EXPORTER", "none")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
    ] {
        assert!(read_from(off).unwrap().is_none(), "{off:?}");
    }
    let asked = settings(&[("OTEL_TRACES_EXPORTER", "otlp")]);
    assert_eq!(asked.endpoint.as_str(), "http://localhost:4318/v1/traces");
}

#[test]
fn what_is_said_for_traces_wins_and_paths_are_as_the_standard_has_them() {
    let usual = settings(&[ON]);
    assert_eq!(usual.endpoint.as_str(), "http://collector:4318/v1/traces");
    assert_eq!(usual.protocol, Protocol::Protobuf);
    assert_eq!(usual.timeout, Duration::from_secs(10));
    assert_eq!(usual.resource["service.name"], "postlake");
    assert!(usual.honours_parent && usual.sampler.by_parent && !usual.gzip);
    let below = settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c/otlp")]);
    assert_eq!(below.endpoint.as_str(), "https://c/otlp/v1/traces");
    let own = settings(&[
        ON,
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own/x?key=k"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "general=1"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "Authorization=Basic%20c2VjcmV0PQ==, x-b=2",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=no,deployment.environment.name=a%2Cb",
        ),
        ("OTEL_SERVICE_NAME", "hooks"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_PROPAGATORS", "none"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
    ]);
    assert_eq!(own.endpoint.as_str(), "http://own/x?key=k");
    assert_eq!(own.protocol, Protocol::Json);
    assert_eq!(own.headers.len(), 2);
    assert_eq!(own.headers["authorization"], "Basic c2VjcmV0PQ==");
    assert_eq!(own.timeout, Duration::from_millis(250));
    assert_eq!(own.resource["service.name"], "hooks");
    assert_eq!(own.resource["deployment.environment.name"], "a,b");
    assert_eq!((own.sampler.ratio, own.sampler.by_parent), (0.25, false));
    assert!(own.gzip && !own.honours_parent);
    assert_eq!(
        (own.batches.queue_spans, own.batches.batch_spans),
        (100, 100)
    );
    for shown in [format!("{own:?}"), own.in_words()] {
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
    }
    assert!(!own.in_words().contains("key=k"), "{}", own.in_words());
}

#[test]
fn every_wrong_value_is_told_at_once_and_none_is_repeated() {
    let wrong = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd7"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/s3cret.pem"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_PROPAGATORS", "b3"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=s3cret"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "s3cret"),
    ];
    let faults = read_from(&wrong).unwrap_err();
    for (name, value) in wrong {
        let told = faults.iter().filter(|(of, _)| of == name).count();
        assert_eq!(told, 1, "{name}: {faults:?}");
        let repeated = faults.iter().any(|(_, said)| said.contains(value));
        assert!(!repeated || ["grpc", "0", "b3"].contains(&value), "{value}");
    }
    assert_eq!(faults.len(), wrong.len());
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://x"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:s3cret@x"),
    ] {
        let faults = read_from(&[ON, (name, value)]).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].0, name);
        assert!(!faults[0].1.contains("s3cret"));
    }
    let arg = [
        ON,
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ];
    assert_eq!(read_from(&arg).unwrap_err()[0].0, "OTEL_TRACES_SAMPLER_ARG");
}
