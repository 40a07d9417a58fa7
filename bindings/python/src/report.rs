//! Accounts as plain dicts, which the package makes dataclasses of.

use endspan::{Account, Activity, Report, Sample, Stats};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

fn account<'py>(py: Python<'py>, account: &Account) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("destination", &account.destination)?;
    dict.set_item("accepted", account.accepted)?;
    dict.set_item("delivered", account.delivered)?;
    dict.set_item("superseded", account.superseded)?;
    let dropped = PyDict::new(py);
    for (reason, count) in account.dropped.iter() {
        dropped.set_item(reason.as_str(), count)?;
    }
    dict.set_item("dropped", dropped)?;
    dict.set_item("spooled", account.spooled)?;
    dict.set_item("pending", account.pending)?;
    Ok(dict)
}

/// Returns a report as keywords of `endspan.Report`.
pub(crate) fn report<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let accounts = report.accounts.iter().map(|of| account(py, of)).collect::<PyResult<Vec<_>>>()?;
    dict.set_item("accounts", PyList::new(py, accounts)?)?;
    dict.set_item("timed_out", report.timed_out)?;
    Ok(dict)
}

/// Returns stats as keywords of `endspan.Stats`.
pub(crate) fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let destinations = stats
        .destinations
        .iter()
        .map(|of| {
            let dict = PyDict::new(py);
            dict.set_item("account", account(py, &of.account)?)?;
            dict.set_item("health", of.health.as_str())?;
            dict.set_item("pending_bytes", of.pending_bytes)?;
            dict.set_item("requests_in_flight", of.requests_in_flight)?;
            dict.set_item("requests", of.requests)?;
            dict.set_item("failed_requests", of.failed_requests)?;
            dict.set_item("retried_requests", of.retried_requests)?;
            Ok(dict)
        })
        .collect::<PyResult<Vec<_>>>()?;
    dict.set_item("destinations", PyList::new(py, destinations)?)?;
    dict.set_item("unread_records", stats.unread_records)?;
    dict.set_item("open_spans", stats.open_spans)?;
    dict.set_item("unencodable_payloads", stats.unencodable_payloads)?;
    dict.set_item("queue_bytes", stats.queue_bytes)?;
    dict.set_item("resident_bytes", stats.resident_bytes)?;
    dict.set_item("spool_bytes", stats.spool_bytes)?;
    dict.set_item("spooling", stats.spooling)?;
    dict.set_item("recovered_records", stats.recovered_records)?;
    dict.set_item("recovered_open_spans", stats.recovered_open_spans)?;
    Ok(dict)
}

/// Returns what a pipeline did: numbers of records read, `exports` as tuples of what they have in common and their sums, and
/// `samples` as tuples of instrument, phase and value.
pub(crate) fn activity<'py>(py: Python<'py>, activity: &Activity) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("starts", activity.starts)?;
    dict.set_item("ends", activity.ends)?;
    let exports = PyList::empty(py);
    for (kind, sums) in &activity.exports {
        let (http_code, error_class) = kind.failure.unzip();
        let common = (&*kind.exporter, kind.phase.as_str(), http_code, error_class);
        let sums = (sums.batches, sums.spans, sums.batch_failures, sums.span_failures, sums.retries);
        exports.append((common, sums))?;
    }
    dict.set_item("exports", exports)?;
    let samples = PyList::empty(py);
    for sample in &activity.samples {
        let (name, phase, value) = match sample {
            Sample::QueueDepth(depth) => ("queue.depth", None, *depth as f64),
            Sample::QueueLag(millis) => ("queue.lag", None, *millis),
            Sample::BatchItems(items) => ("batch.items", None, *items as f64),
            Sample::BatchSize(phase, spans) => ("batch.size", Some(phase.as_str()), *spans as f64),
            Sample::DrainDuration(phase, millis) => ("batch.drain_duration", Some(phase.as_str()), *millis),
            Sample::ShutdownRemaining(remaining) => ("shutdown.remaining_items", None, *remaining as f64),
        };
        samples.append((name, phase, value))?;
    }
    dict.set_item("samples", samples)?;
    Ok(dict)
}
