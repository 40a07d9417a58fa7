//! Where spans go, as Python sees it.

use std::sync::Arc;

use endspan::exporter::Exporter;
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
