//! `/metrics` in the Prometheus text format, version 0.0.4.

use std::fmt::Write;

use endspan_model::DropReason;
use endspan_redaction::Pattern;
use endspan_store::StoreStats;
use endspan_wire::DropReport;

use super::counters::{Counter, Histogram, Outcome, Telemetry};
use super::{Metric, Protocol, Route, StatusClass};
use crate::retention::Reason;

/// What is read off rather than counted.
#[derive(Debug, Default)]
pub(crate) struct LiveFigures {
    pub(crate) in_flight_requests: usize,
    pub(crate) in_flight_bytes: usize,
    pub(crate) connections: usize,
    pub(crate) keys: usize,
    pub(crate) live_subscribers: usize,
    /// `None` when the store did not answer; its metrics are then left out.
    pub(crate) store: Option<StoreStats>,
}

/// Returns the whole page.
pub(crate) fn render(telemetry: &Telemetry, live: &LiveFigures) -> String {
    let mut page = Page { text: String::with_capacity(32 * 1024) };
    for metric in Metric::ALL.iter().copied() {
        page.metric(metric, telemetry, live);
    }
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn metric(&mut self, metric: Metric, telemetry: &Telemetry, live: &LiveFigures) {
        let store = |figure: fn(&StoreStats) -> u64| live.store.as_ref().map(figure);
        let single = match metric {
            Metric::HttpRequests | Metric::HttpRequestDuration => {
                self.head(metric);
                return self.routes(metric, telemetry);
            }
            Metric::IngestReceivedSpans
            | Metric::IngestSpans
            | Metric::IngestBytes
            | Metric::IngestRequestSpans => {
                self.head(metric);
                return self.protocols(metric, telemetry);
            }
            Metric::ClientDroppedSpans => {
                self.head(metric);
                return self.client_drops(metric, telemetry);
            }
            Metric::StoreWriteDuration => {
                self.head(metric);
                return self.histogram(metric, "", &telemetry.store_write_duration, 1e6);
            }
            Metric::StoreWriteFailures => Some(telemetry.store_write_failures.get()),
            Metric::Redactions => {
                self.head(metric);
                return self.redactions(metric, telemetry);
            }
            Metric::ConnectionsRefused => Some(telemetry.connections_refused.get()),
            Metric::UnauthorizedRequests => Some(telemetry.unauthorized_requests.get()),
            Metric::ForbiddenRequests => Some(telemetry.forbidden_requests.get()),
            Metric::Keys => Some(live.keys as u64),
            Metric::DeletedSpans => {
                self.head(metric);
                return self.reasons(metric, &telemetry.deleted_spans);
            }
            Metric::DeletedTraces => {
                self.head(metric);
                return self.reasons(metric, &telemetry.deleted_traces);
            }
            Metric::RetentionFailures => Some(telemetry.retention_failures.get()),
            Metric::InFlightRequests => Some(live.in_flight_requests as u64),
            Metric::InFlightBytes => Some(live.in_flight_bytes as u64),
            Metric::Connections => Some(live.connections as u64),
            Metric::LiveSubscribers => Some(live.live_subscribers as u64),
            Metric::StoreSpans => store(|stats| stats.spans),
            Metric::StoreTraces => store(|stats| stats.traces),
            Metric::StoreDiskBytes => store(|stats| stats.disk_bytes),
            Metric::StoreRawPayloadBytes => store(|stats| stats.raw_payload_bytes),
            Metric::StoreStoredPayloadBytes => store(|stats| stats.stored_payload_bytes),
            Metric::StoreSupersededPayloadBytes => store(|stats| stats.superseded_payload_bytes),
        };
        if let Some(value) = single {
            self.head(metric);
            self.line(format_args!("{} {value}", metric.name()));
        }
    }

    fn head(&mut self, metric: Metric) {
        self.line(format_args!("# HELP {} {}", metric.name(), metric.help()));
        self.line(format_args!("# TYPE {} {}", metric.name(), metric.kind()));
    }

    fn routes(&mut self, metric: Metric, telemetry: &Telemetry) {
        for (route, table) in Route::ALL.iter().zip(&telemetry.routes) {
            if metric == Metric::HttpRequestDuration {
                self.histogram(metric, &format!("route=\"{}\"", route.as_str()), &table.duration, 1e6);
                continue;
            }
            for (class, counter) in StatusClass::ALL.iter().zip(&table.requests) {
                let (name, route, class) = (metric.name(), route.as_str(), class.as_str());
                self.line(format_args!("{name}{{route=\"{route}\",status=\"{class}\"}} {}", counter.get()));
            }
        }
    }

    fn reasons(&mut self, metric: Metric, counters: &[Counter; Reason::ALL.len()]) {
        for (reason, counter) in Reason::ALL.iter().zip(counters) {
            self.line(format_args!("{}{{reason=\"{}\"}} {}", metric.name(), reason.as_str(), counter.get()));
        }
    }

    fn client_drops(&mut self, metric: Metric, telemetry: &Telemetry) {
        let reasons = DropReason::ALL.iter().map(|reason| reason.as_str()).chain([DropReport::OTHER]);
        for (reason, counter) in reasons.zip(&telemetry.client_drops) {
            self.line(format_args!("{}{{reason=\"{reason}\"}} {}", metric.name(), counter.get()));
        }
    }

    fn redactions(&mut self, metric: Metric, telemetry: &Telemetry) {
        let built_in = Pattern::ALL.iter().map(|pattern| pattern.as_str()).zip(&telemetry.redactions);
        for (pattern, counter) in built_in.chain([("custom", &telemetry.custom_redactions)]) {
            self.line(format_args!("{}{{pattern=\"{pattern}\"}} {}", metric.name(), counter.get()));
        }
    }

    fn protocols(&mut self, metric: Metric, telemetry: &Telemetry) {
        let name = metric.name();
        for (protocol, table) in Protocol::ALL.iter().zip(&telemetry.protocols) {
            let label = format!("protocol=\"{}\"", protocol.as_str());
            match metric {
                Metric::IngestReceivedSpans => {
                    self.line(format_args!("{name}{{{label}}} {}", table.received.get()));
                }
                Metric::IngestBytes => self.line(format_args!("{name}{{{label}}} {}", table.bytes.get())),
                Metric::IngestRequestSpans => self.histogram(metric, &label, &table.request_spans, 1.0),
                _ => {
                    for (index, counter) in table.outcomes.iter().enumerate() {
                        let Some(outcome) = Outcome::from_index(index) else { continue };
                        let (outcome, reason) = outcome.labels();
                        self.line(format_args!(
                            "{name}{{{label},outcome=\"{outcome}\",reason=\"{reason}\"}} {}",
                            counter.get()
                        ));
                    }
                }
            }
        }
    }

    /// Writes a histogram whose values are counted in `1 / scale` of the shown unit.
    fn histogram(&mut self, metric: Metric, label: &str, histogram: &Histogram, scale: f64) {
        let name = metric.name();
        let comma = if label.is_empty() { "" } else { "," };
        let mut count = 0;
        for (bound, cumulative) in histogram.cumulative() {
            count = cumulative;
            match bound {
                Some(bound) => self.line(format_args!(
                    "{name}_bucket{{{label}{comma}le=\"{}\"}} {cumulative}",
                    bound as f64 / scale
                )),
                None => self.line(format_args!("{name}_bucket{{{label}{comma}le=\"+Inf\"}} {cumulative}")),
            }
        }
        let labels = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        self.line(format_args!("{name}_sum{labels} {}", histogram.sum() as f64 / scale));
        self.line(format_args!("{name}_count{labels} {count}"));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_on_the_page_with_help_and_type() {
        let live = LiveFigures { store: Some(StoreStats::default()), ..LiveFigures::default() };
        let page = render(&Telemetry::new(), &live);
        for metric in Metric::ALL {
            assert!(page.contains(&format!("# HELP {} ", metric.name())), "{}", metric.name());
            assert!(page.contains(&format!("# TYPE {} {}\n", metric.name(), metric.kind())));
            assert!(page.lines().any(|line| line.starts_with(metric.name())), "{}", metric.name());
        }
    }

    #[test]
    fn a_histogram_ends_with_its_sum_and_count() {
        let telemetry = Telemetry::new();
        telemetry.received(Protocol::Sgp, 100);
        let page = render(&telemetry, &LiveFigures::default());
        assert!(page.contains("endspan_ingest_request_spans_bucket{protocol=\"sgp\",le=\"50\"} 0\n"));
        assert!(page.contains("endspan_ingest_request_spans_bucket{protocol=\"sgp\",le=\"100\"} 1\n"));
        assert!(page.contains("endspan_ingest_request_spans_sum{protocol=\"sgp\"} 100\n"));
        assert!(page.contains("endspan_ingest_request_spans_count{protocol=\"sgp\"} 1\n"));
        assert!(!page.contains("endspan_store_spans"), "an unreachable store has no figures");
    }
}
