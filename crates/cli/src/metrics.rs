//! The part of the Prometheus text format that this server's `/metrics` uses.

/// A page of metrics.
pub(crate) struct Metrics {
    /// Name, labels between the braces, value.
    lines: Vec<(String, String, f64)>,
}

/// Counts in buckets.
pub(crate) struct Histogram {
    /// Upper bound in seconds and the count up to it, in order.
    buckets: Vec<(f64, f64)>,
}

impl Metrics {
    /// Reads a page; lines that are not understood are left out.
    pub(crate) fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            Some((name.to_owned(), labels.trim_end_matches('}').to_owned(), value.parse().ok()?))
        };
        Self { lines: text.lines().filter(|text| !text.starts_with('#')).filter_map(line).collect() }
    }

    /// Returns the sum of a metric over all its labels.
    pub(crate) fn value(&self, name: &str) -> f64 {
        self.lines.iter().filter(|line| line.0 == name).map(|line| line.2).sum()
    }

    /// Returns the values that a label has on a metric, in order.
    pub(crate) fn labels(&self, name: &str, label: &str) -> Vec<String> {
        let begin = format!("{label}=\"");
        let lines = self.lines.iter().filter(|line| line.0 == name);
        lines
            .filter_map(|line| {
                let rest = line.1.split(',').find_map(|pair| pair.strip_prefix(&begin))?;
                Some(rest.trim_end_matches('"').to_owned())
            })
            .collect()
    }

    /// Returns a histogram with these labels.
    pub(crate) fn histogram(&self, name: &str, labels: &str) -> Histogram {
        let name = format!("{name}_bucket");
        let lines = self.lines.iter().filter(|line| line.0 == name && line.1.starts_with(labels));
        let buckets = lines.filter_map(|line| {
            let bound = line.1.rsplit("le=\"").next()?.trim_end_matches('"');
            Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? }, line.2))
        });
        Histogram { buckets: buckets.collect() }
    }
}

impl Histogram {
    /// Returns how many values were counted.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |bucket| bucket.1 as u64)
    }

    /// Returns the upper bound of the bucket in which a quantile lies; the last finite bound when it lies beyond, and
    /// `None` when nothing was counted.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = (self.count() > 0).then(|| self.count() as f64 * quantile)?;
        let bound = self.buckets.iter().find(|bucket| bucket.1 >= rank).map(|bucket| bucket.0)?;
        let finite = self.buckets.iter().rev().map(|bucket| bucket.0).find(|bound| bound.is_finite());
        if bound.is_finite() { Some(bound) } else { finite }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP x y\nx_total{a=\"1\",b=\"2\"} 3\nx_total{a=\"2\",b=\"2\"} 4\n\
        t_bucket{r=\"p\",le=\"0.1\"} 5\nt_bucket{r=\"p\",le=\"1\"} 9\nt_bucket{r=\"p\",le=\"+Inf\"} 10\n\
        t_bucket{r=\"q\",le=\"+Inf\"} 0\nnonsense\n";

    #[test]
    fn pages_are_read_back() {
        let metrics = Metrics::parse(PAGE);
        assert_eq!(metrics.value("x_total"), 7.0);
        assert_eq!(metrics.labels("x_total", "a"), ["1", "2"]);
        let times = metrics.histogram("t", "r=\"p\"");
        assert_eq!((times.count(), times.quantile(0.5), times.quantile(0.9)), (10, Some(0.1), Some(1.0)));
        assert_eq!(times.quantile(0.99), Some(1.0), "beyond the last bound");
        assert_eq!(metrics.histogram("t", "r=\"q\"").quantile(0.5), None);
    }
}
