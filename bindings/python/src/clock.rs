//! Times between Python and the pipeline.

use endspan::Timestamp;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyInt, PyTuple};

struct Datetime {
    /// `datetime.fromtimestamp`'s stand-in that loses nothing: `epoch + timedelta(microseconds=…)`.
    epoch: Py<PyAny>,
    timedelta: Py<PyAny>,
    microsecond: Py<PyAny>,
}

static DATETIME: PyOnceLock<Datetime> = PyOnceLock::new();

fn datetime(py: Python<'_>) -> PyResult<&'static Datetime> {
    DATETIME.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let timedelta = module.getattr("timedelta")?;
        let keywords = PyDict::new(py);
        keywords.set_item("microseconds", 1)?;
        let epoch = module.getattr("datetime")?.call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
        let microsecond = timedelta.call((), Some(&keywords))?;
        Ok(Datetime {
            epoch: epoch.unbind(),
            timedelta: timedelta.unbind(),
            microsecond: microsecond.unbind(),
        })
    })
}

/// Returns the `datetime` in UTC of a time.
pub(crate) fn to_python(py: Python<'_>, time: Timestamp) -> PyResult<Bound<'_, PyAny>> {
    let known = datetime(py)?;
    let since = known.timedelta.bind(py).call1(PyTuple::new(py, [0, 0, time.unix_micros()])?)?;
    known.epoch.bind(py).add(since)
}

/// Reads a `datetime` (a naive one is local time, as everywhere in Python) or seconds since the Unix epoch.
pub(crate) fn from_python(time: &Bound<'_, PyAny>) -> Option<Timestamp> {
    if time.is_instance_of::<PyFloat>() || time.is_instance_of::<PyInt>() {
        let seconds = time.extract::<f64>().ok()?;
        return Timestamp::from_unix_nanos((seconds * 1e6).round() as i128 * 1000);
    }
    moment(time).or_else(|| {
        // Numbers of other libraries.
        let seconds = time.extract::<f64>().ok()?;
        Timestamp::from_unix_nanos((seconds * 1e6).round() as i128 * 1000)
    })
}

fn moment(time: &Bound<'_, PyAny>) -> Option<Timestamp> {
    let known = datetime(time.py()).ok()?;
    let aware = match time.getattr(intern!(time.py(), "tzinfo")) {
        Ok(zone) if !zone.is_none() => time.clone(),
        _ => time.call_method0("astimezone").ok()?,
    };
    let micros = aware
        .sub(known.epoch.bind(time.py()))
        .ok()?
        .floor_div(known.microsecond.bind(time.py()))
        .ok()?
        .extract::<i64>()
        .ok()?;
    Timestamp::from_unix_micros(micros)
}
