//! Where spans go, as Python sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use endspan::exporter::Exporter;
use endspan::exporter::otlp::Compression;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A destination that a `Tracer` can be given.
#[pyclass(name = "Exporter", module = "endspan", subclass, frozen)]
pub(crate) struct PyExporter {
    pub(crate) exporter: Arc<dyn Exporter>,
}

#[pymethods]
impl PyExporter {
    /// The short name used in reports, for example `sgp`.
    #[getter]
    fn name(&self) -> &str {
        self.exporter.name()
    }

    /// Address and account, never keys. Spans left in the spool go to the destination of the same identity.
    #[getter]
    fn identity(&self) -> String {
        self.exporter.identity()
    }

    /// Why nothing is sent there, if it is switched off by its settings.
    #[getter]
    fn disabled(&self) -> Option<String> {
        self.exporter.disabled()
    }

    fn __repr__(&self) -> String {
        format!("<endspan exporter {}>", self.exporter.identity())
    }
}

/// Delivers spans to SGP, `PUT /v5/spans/batch`.
///
/// What is not given comes from the environment: `SGP_API_KEY`, `SGP_ACCOUNT_ID`, `SGP_CLIENT_BASE_URL`. Without a key or
/// an account it is switched off. `agent_tags=False` leaves `__source__` and the agent's name out of items' metadata.
#[pyclass(name = "SGPExporter", module = "endspan", extends = PyExporter, frozen)]
pub(crate) struct PySgpExporter;

#[pymethods]
impl PySgpExporter {
    #[new]
    #[pyo3(signature = (api_key=None, account_id=None, base_url=None, *, write_starts=None, agent_tags=true))]
    fn new(
        api_key: Option<String>,
        account_id: Option<String>,
        base_url: Option<String>,
        write_starts: Option<bool>,
        agent_tags: bool,
    ) -> PyClassInitializer<Self> {
        let mut builder = endspan::SgpExporter::builder().agent_tags(agent_tags);
        if let Some(key) = api_key {
            builder = builder.api_key(key);
        }
        if let Some(account) = account_id {
            builder = builder.account_id(account);
        }
        if let Some(url) = base_url {
            builder = builder.base_url(url);
        }
        if let Some(write) = write_starts {
            builder = builder.write_starts(write);
        }
        PyClassInitializer::from(PyExporter { exporter: Arc::new(builder.build()) }).add_subclass(Self)
    }
}

/// Delivers spans to an Agentex server.
///
/// What is not given comes from the environment: `AGENTEX_BASE_URL`, `AGENTEX_SDK_API_KEY`, `AGENT_API_KEY`.
#[pyclass(name = "AgentexExporter", module = "endspan", extends = PyExporter, frozen)]
pub(crate) struct PyAgentexExporter;

#[pymethods]
impl PyAgentexExporter {
    #[new]
    #[pyo3(signature = (base_url=None, api_key=None, agent_api_key=None, *, write_starts=None))]
    fn new(
        base_url: Option<String>,
        api_key: Option<String>,
        agent_api_key: Option<String>,
        write_starts: Option<bool>,
    ) -> PyClassInitializer<Self> {
        let mut builder = endspan::AgentexExporter::builder();
        if let Some(url) = base_url {
            builder = builder.base_url(url);
        }
        if let Some(key) = api_key {
            builder = builder.api_key(key);
        }
        if let Some(key) = agent_api_key {
            builder = builder.agent_api_key(key);
        }
        if let Some(write) = write_starts {
            builder = builder.write_starts(write);
        }
        PyClassInitializer::from(PyExporter { exporter: Arc::new(builder.build()) }).add_subclass(Self)
    }
}

/// Delivers spans to an OpenTelemetry collector, or to whatever else speaks OTLP over HTTP.
///
/// `endpoint` is the whole address, path included: `http://collector:4318/v1/traces`. What is not given comes from the
/// variables of OpenTelemetry's specification: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`,
/// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_SERVICE_NAME` and the like; without any, requests go
/// to `http://localhost:4318/v1/traces`. `timeout` is in seconds; `compression` is `gzip` (default) or `none`; `protocol`
/// is `http/protobuf` (default) or `http/json`; `resource` has attributes such as `service.name`.
#[pyclass(name = "OTLPExporter", module = "endspan", extends = PyExporter, frozen)]
pub(crate) struct PyOtlpExporter;

#[pymethods]
impl PyOtlpExporter {
    #[new]
    #[pyo3(signature = (endpoint=None, headers=None, *, timeout=None, compression=None, protocol=None, resource=None))]
    fn new(
        endpoint: Option<String>,
        headers: Option<BTreeMap<String, String>>,
        timeout: Option<f64>,
        compression: Option<&str>,
        protocol: Option<&str>,
        resource: Option<BTreeMap<String, String>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let mut builder = endspan::OtlpExporter::builder();
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint(endpoint);
        }
        for (name, value) in headers.unwrap_or_default() {
            builder = builder.header(&name, &value);
        }
        if let Some(timeout) = timeout {
            builder = builder.timeout(Duration::try_from_secs_f64(timeout).map_err(|_| {
                PyValueError::new_err(format!("timeout must be a number of seconds, not {timeout}"))
            })?);
        }
        builder = match compression {
            None => builder,
            Some("gzip") => builder.compression(Compression::Gzip),
            Some("none") => builder.compression(Compression::None),
            Some(other) => {
                return Err(PyValueError::new_err(format!(
                    "compression must be 'gzip' or 'none', not {other:?}"
                )));
            }
        };
        builder = match protocol {
            None => builder,
            Some("http/protobuf") => builder.json(false),
            Some("http/json") => builder.json(true),
            Some(other) => {
                return Err(PyValueError::new_err(format!(
                    "protocol must be 'http/protobuf' or 'http/json', not {other:?}"
                )));
            }
        };
        for (key, value) in resource.unwrap_or_default() {
            builder = builder.resource_attribute(key, value);
        }
        Ok(PyClassInitializer::from(PyExporter { exporter: Arc::new(builder.build()) }).add_subclass(Self))
    }
}
