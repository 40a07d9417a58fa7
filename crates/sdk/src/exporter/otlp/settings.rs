//! What an OTLP exporter is told, by code or by the variables of the OpenTelemetry specification
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).

use std::sync::Arc;
use std::time::Duration;

use endspan_otlp::encode::Encoder;
use endspan_otlp::response::Encoding;
use http::HeaderMap;

use super::{Client, OtlpExporter, header, headers};
use crate::settings::{self, Environment, Variable};
use crate::transport::{HttpTransport, Transport};

/// Where collectors listen for OTLP over HTTP.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";

/// The path of traces under an endpoint for all signals.
const TRACES_PATH: &str = "/v1/traces";

/// How request bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip at its fastest.
    Gzip,
}

/// Settings of an [`OtlpExporter`]; what is not given comes from the environment.
#[derive(Default)]
pub struct OtlpBuilder {
    environment: Option<Environment>,
    endpoint: Option<String>,
    headers: HeaderMap,
    timeout: Option<Duration>,
    compression: Option<Compression>,
    json: Option<bool>,
    resource: Vec<(String, String)>,
    transport: Option<Arc<dyn Transport>>,
}

impl OtlpBuilder {
    /// Sets the address that requests go to, path included: `http://collector:4318/v1/traces`. Else
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, else `/v1/traces` under `OTEL_EXPORTER_OTLP_ENDPOINT`, else under
    /// `http://localhost:4318`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Adds a header, such as `authorization` or `x-api-key`; one that no request can carry is left out. It wins over
    /// those of `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, else of `OTEL_EXPORTER_OTLP_HEADERS`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend(header(name, value));
        self
    }

    /// Sets how long a request may take. Else `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`, else `OTEL_EXPORTER_OTLP_TIMEOUT`
    /// (both in milliseconds), else what the tracer's settings say.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the compression. Else `OTEL_EXPORTER_OTLP_TRACES_COMPRESSION`, else `OTEL_EXPORTER_OTLP_COMPRESSION`,
    /// else gzip.
    #[must_use]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Sets whether requests are JSON in place of protobuf. Else what `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` or
    /// `OTEL_EXPORTER_OTLP_PROTOCOL` says.
    #[must_use]
    pub const fn json(mut self, json: bool) -> Self {
        self.json = Some(json);
        self
    }

    /// Adds an attribute to the resource, such as `service.name`. It wins over those of `OTEL_SERVICE_NAME` and
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    #[must_use]
    pub fn resource_attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.resource.push((key.into(), value.into()));
        self
    }

    /// Sets the transport. Else [`HttpTransport`].
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets where the rest is read from. Else the process's environment.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Makes the exporter. Nothing is sent yet, and nothing can fail.
    pub fn build(self) -> OtlpExporter {
        let environment = self.environment.unwrap_or_else(Environment::process);
        let first =
            |variables: [Variable; 2]| variables.into_iter().find_map(|one| environment.non_empty(one));
        let protocol =
            first([settings::OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, settings::OTEL_EXPORTER_OTLP_PROTOCOL])
                .unwrap_or_default();
        // An address that was meant for gRPC is not ours.
        let is_grpc = protocol.trim() == "grpc" && self.endpoint.is_none();
        let endpoint = self
            .endpoint
            .or_else(|| environment.non_empty(settings::OTEL_EXPORTER_OTLP_TRACES_ENDPOINT))
            .unwrap_or_else(|| {
                let base = environment.non_empty(settings::OTEL_EXPORTER_OTLP_ENDPOINT);
                let base = base.as_deref().unwrap_or(DEFAULT_ENDPOINT).trim_end_matches('/');
                format!("{base}{TRACES_PATH}")
            });
        let encoding = match self.json.unwrap_or(protocol.trim() == "http/json") {
            true => Encoding::Json,
            false => Encoding::Protobuf,
        };
        let named = first([
            settings::OTEL_EXPORTER_OTLP_TRACES_COMPRESSION,
            settings::OTEL_EXPORTER_OTLP_COMPRESSION,
        ]);
        let compression = self.compression.unwrap_or(match named.as_deref().map(str::trim) {
            Some("none") => Compression::None,
            _ => Compression::Gzip,
        });
        let timeout = self.timeout.or_else(|| {
            let millis = environment
                .integer(settings::OTEL_EXPORTER_OTLP_TRACES_TIMEOUT)
                .or_else(|| environment.integer(settings::OTEL_EXPORTER_OTLP_TIMEOUT))?;
            Some(Duration::from_millis(u64::try_from(millis).unwrap_or(1)))
        });
        let from_environment =
            first([settings::OTEL_EXPORTER_OTLP_TRACES_HEADERS, settings::OTEL_EXPORTER_OTLP_HEADERS]);
        let mut given: HeaderMap = list(from_environment.as_deref().unwrap_or_default())
            .filter_map(|(name, value)| header(&name, &value))
            .collect();
        for (name, value) in self.headers {
            if let Some(name) = name {
                given.insert(name, value);
            }
        }
        let client = Client {
            headers: headers(given, encoding, compression),
            compression,
            encoding,
            transport: self.transport.unwrap_or_else(|| Arc::new(HttpTransport::new())),
            endpoint,
        };
        OtlpExporter {
            identity: format!("otlp {}", client.endpoint),
            client,
            encoder: Arc::new(encoder(&environment, self.resource)),
            timeout,
            disabled: is_grpc
                .then(|| "OTEL_EXPORTER_OTLP_PROTOCOL says grpc; only HTTP is spoken here".to_owned()),
        }
    }
}

fn encoder(environment: &Environment, given: Vec<(String, String)>) -> Encoder {
    let attributes = environment.text(settings::OTEL_RESOURCE_ATTRIBUTES).unwrap_or_default();
    let service = environment.non_empty(settings::OTEL_SERVICE_NAME);
    let mut resource: Vec<(String, String)> = list(&attributes).collect();
    resource.extend(service.map(|name| ("service.name".to_owned(), name)));
    resource.extend(given);
    let mut encoder = Encoder::new();
    for (index, (key, value)) in resource.iter().enumerate() {
        let later = resource.iter().skip(index + 1).any(|(other, _)| other == key);
        if !later {
            encoder = encoder.with_resource_attribute(key, value);
        }
    }
    encoder
}

/// Reads `key=value,key=value`; both are percent-encoded (W3C Baggage without properties).
fn list(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(',').filter_map(|member| {
        let (key, value) = member.split_once('=')?;
        let key = percent_decoded(key.trim());
        (!key.is_empty()).then(|| (key, percent_decoded(value.trim())))
    })
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let decoded = (byte == b'%')
            .then(|| after.first_chunk::<2>())
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match decoded {
            Some(decoded) => {
                out.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(variables: &[(&str, &str)]) -> OtlpExporter {
        OtlpExporter::builder().environment(Environment::fixed(variables.iter().copied())).build()
    }

    #[test]
    fn addresses_are_those_of_the_specification() {
        let endpoint = |variables: &[(&str, &str)]| built(variables).client.endpoint;
        assert_eq!(endpoint(&[]), "http://localhost:4318/v1/traces");
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c.example/otlp/");
        assert_eq!(endpoint(&[base]), "https://c.example/otlp/v1/traces");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t.example/in");
        assert_eq!(endpoint(&[base, traces]), "https://t.example/in");
        let given = OtlpExporter::builder()
            .environment(Environment::fixed([base, traces]))
            .endpoint("http://given/v1/traces")
            .build();
        assert_eq!(given.identity, "otlp http://given/v1/traces");
    }

    #[test]
    fn headers_are_decoded_and_arguments_win() {
        let exporter = OtlpExporter::builder()
            .environment(Environment::fixed([
                (
                    "OTEL_EXPORTER_OTLP_HEADERS",
                    "x-api-key=from%20env,authorization=Basic%20YTpi, nonsense ,=x",
                ),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ]))
            .header("X-Api-Key", "given")
            .header("not a name", "x")
            .build();
        let headers = &exporter.client.headers;
        assert_eq!(headers.get("x-api-key").unwrap(), "given");
        assert_eq!(headers.get("authorization").unwrap(), "Basic YTpi");
        assert!(headers.get("content-encoding").is_none());
        assert_eq!(exporter.timeout, Some(Duration::from_millis(1500)));
        assert!(headers.get("x-api-key").unwrap().is_sensitive(), "keys are not logged");
        let traces = built(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "5"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "7"),
        ]);
        assert!(traces.client.headers.get("a").is_none() && traces.client.headers.get("b").is_some());
        assert_eq!(traces.timeout, Some(Duration::from_millis(5)));
        assert_eq!(traces.client.headers.get("content-encoding").unwrap(), "gzip");
    }

    #[test]
    fn grpc_is_not_spoken_and_says_so() {
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert!(built(&[grpc]).disabled.is_some());
        let json = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json");
        let exporter = built(&[grpc, json]);
        assert_eq!((exporter.disabled, exporter.client.encoding), (None, Encoding::Json));
    }
}
