//! Spans that are pydantic models, as those of agentex-sdk: made, ended and handed over without a detour through Python.

use endspan::Timestamp;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet, PyString, PyType};

use crate::clock;
use crate::normalise::normalise;
use crate::tracer::PyTracer;
use crate::whole::{self, Whole};

/// Makes and ends spans of one model class, as agentex-sdk does (`sdk-behaviour` sections 3.2 and 3.3) without validation.
#[pyclass(module = "endspan._native", frozen)]
pub(crate) struct Models {
    class: Py<PyType>,
}

/// Sets an attribute past the model's own `__setattr__`.
fn set_attribute(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: three live objects, under the GIL.
    let status = unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) };
    if status == 0 { Ok(()) } else { Err(PyErr::fetch(object.py())) }
}

/// Normalises a value; one that is empty becomes `None`.
fn normal<'py>(value: Option<&Bound<'py, PyAny>>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Some(value) if value.is_truthy()? => Ok(normalise(value)),
        _ => Ok(py.None().into_bound(py)),
    }
}

/// Makes a random UUID, as `uuid.uuid4` does.
fn random_id(py: Python<'_>) -> PyResult<Bound<'_, PyString>> {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return Ok(PyString::new(py, &crate::tracer::new_id()));
    }
    let mut text = [0_u8; uuid::fmt::Hyphenated::LENGTH];
    Ok(PyString::new(
        py,
        uuid::Builder::from_random_bytes(bytes).into_uuid().hyphenated().encode_lower(&mut text),
    ))
}

#[pymethods]
impl Models {
    #[new]
    fn new(class: Py<PyType>) -> Self {
        Self { class }
    }

    /// Makes a model of its fields; what it has no field for is kept as extra.
    #[pyo3(signature = (*, id, name, start_time, trace_id, data=None, end_time=None, input=None, output=None,
        parent_id=None, task_id=None, **extra))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn make<'py>(
        &self,
        py: Python<'py>,
        id: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
        start_time: &Bound<'py, PyAny>,
        trace_id: &Bound<'py, PyAny>,
        data: Option<&Bound<'py, PyAny>>,
        end_time: Option<&Bound<'py, PyAny>>,
        input: Option<&Bound<'py, PyAny>>,
        output: Option<&Bound<'py, PyAny>>,
        parent_id: Option<&Bound<'py, PyAny>>,
        task_id: Option<&Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let class = self.class.bind(py);
        let object = py.get_type::<PyAny>().call_method1(intern!(py, "__new__"), (class,))?;
        let fields = PyDict::new(py);
        // In the order of the model's fields, in which it is dumped.
        fields.set_item(intern!(py, "id"), id)?;
        fields.set_item(intern!(py, "name"), name)?;
        fields.set_item(intern!(py, "start_time"), start_time)?;
        fields.set_item(intern!(py, "trace_id"), trace_id)?;
        fields.set_item(intern!(py, "data"), data)?;
        fields.set_item(intern!(py, "end_time"), end_time)?;
        fields.set_item(intern!(py, "input"), input)?;
        fields.set_item(intern!(py, "output"), output)?;
        fields.set_item(intern!(py, "parent_id"), parent_id)?;
        fields.set_item(intern!(py, "task_id"), task_id)?;
        let given = PySet::new(
            py,
            [
                intern!(py, "id"),
                intern!(py, "name"),
                intern!(py, "start_time"),
                intern!(py, "trace_id"),
                intern!(py, "data"),
                intern!(py, "input"),
                intern!(py, "parent_id"),
                intern!(py, "task_id"),
            ],
        )?;
        if end_time.is_some() {
            given.add(intern!(py, "end_time"))?;
        }
        if output.is_some() {
            given.add(intern!(py, "output"))?;
        }
        let extra = extra.unwrap_or_else(|| PyDict::new(py));
        set_attribute(&object, intern!(py, "__dict__"), fields.as_any())?;
        set_attribute(&object, intern!(py, "__pydantic_fields_set__"), given.as_any())?;
        set_attribute(&object, intern!(py, "__pydantic_extra__"), extra.as_any())?;
        set_attribute(&object, intern!(py, "__pydantic_private__"), py.None().bind(py))?;
        Ok(object)
    }

    /// Starts a span now.
    fn start<'py>(
        &self,
        trace_id: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
        parent_id: Option<&Bound<'py, PyAny>>,
        input: Option<&Bound<'py, PyAny>>,
        data: Option<&Bound<'py, PyAny>>,
        task_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = trace_id.py();
        let start_time = clock::to_python(py, Timestamp::now())?;
        let input = normal(input, py)?;
        let data = normal(data, py)?;
        let id = random_id(py)?.into_any();
        self.make(
            py,
            &id,
            name,
            &start_time,
            trace_id,
            Some(&data),
            None,
            Some(&input),
            None,
            parent_id,
            task_id,
            None,
        )
    }

    /// Ends a span now, unless it has an end time, and normalises its payloads in place.
    fn end(&self, span: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = span.py();
        if !span.get_type().is(self.class.bind(py)) {
            return Err(PyTypeError::new_err("not a span of this class"));
        }
        let fields = span.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
        let given = span.getattr(intern!(py, "__pydantic_fields_set__"))?.cast_into::<PySet>()?;
        let name = intern!(py, "end_time");
        if fields.get_item(name)?.is_none_or(|end| end.is_none()) {
            fields.set_item(name, clock::to_python(py, Timestamp::now())?)?;
            given.add(name)?;
        }
        for name in [intern!(py, "input"), intern!(py, "output"), intern!(py, "data")] {
            let value = fields.get_item(name)?;
            fields.set_item(name, normal(value.as_ref(), py)?)?;
            given.add(name)?;
        }
        Ok(())
    }
}

/// Hands over a span that is a model: as an end, or as a start.
pub(crate) fn submit<'py>(tracer: &PyTracer, span: &Bound<'py, PyAny>, ended: bool) -> PyResult<()> {
    if !whole::is_wanted(&tracer.tracer, ended) {
        return Ok(());
    }
    let py = span.py();
    let fields =
        span.getattr(intern!(py, "__dict__")).ok().and_then(|fields| fields.cast_into::<PyDict>().ok());
    let get = |name: &Bound<'py, PyString>| {
        let found = fields.as_ref().and_then(|fields| fields.get_item(name).ok().flatten());
        found.or_else(|| span.getattr(name).ok()).filter(|value| !value.is_none())
    };
    let (Some(id), Some(trace_id)) = (get(intern!(py, "id")), get(intern!(py, "trace_id"))) else {
        return Ok(());
    };
    let end = ended.then(|| {
        get(intern!(py, "end_time")).and_then(|end| clock::from_python(&end)).unwrap_or_else(Timestamp::now)
    });
    let (input, output) = (get(intern!(py, "input")), get(intern!(py, "output")));
    let data = get(intern!(py, "data"));
    Whole {
        id: &id,
        trace_id: &trace_id,
        name: get(intern!(py, "name")).as_ref(),
        start: get(intern!(py, "start_time")).and_then(|start| clock::from_python(&start)),
        end,
        parent_id: get(intern!(py, "parent_id")).as_ref(),
        task_id: get(intern!(py, "task_id")).as_ref(),
        group_id: None,
        status: None,
        span_type: None,
        values: [input.as_ref(), output.as_ref(), data.as_ref(), None],
    }
    .submit(tracer)
}
