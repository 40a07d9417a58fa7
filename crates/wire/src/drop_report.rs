//! What a client says of the spans that it gave up, as one request header.
//!
//! ```text
//! x-endspan-dropped: id="9f86d081884c7d65", queue_full=1200, too_large=3
//! ```
//!
//! A dictionary of RFC 9651. The numbers count from the start of the client and only grow, so that a request that is
//! sent twice, or overtaken by another, counts nothing twice. `id` is drawn anew for each client process and
//! destination, and says nothing else. Without drops there is no header.

use std::fmt;

use endspan_model::DropReason;

/// Number of counts: one for each reason, and one for reasons that this version does not know.
const COUNTS: usize = DropReason::ALL.len() + 1;

/// What a client gave up since it started, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropReport {
    instance: u64,
    counts: [u64; COUNTS],
}

impl DropReport {
    /// The header's name.
    pub const HEADER: &str = "x-endspan-dropped";

    /// The word for reasons that this version does not know.
    pub const OTHER: &str = "other";

    /// Longest header that is read, in bytes; one that is written is shorter.
    pub const MAX_BYTES: usize = 1024;

    /// Largest count that is read: what every reader of JSON takes exactly.
    pub const MAX_COUNT: u64 = (1 << 53) - 1;

    /// Returns a report, or `None` if nothing was given up.
    pub fn new(instance: u64, drops: impl IntoIterator<Item = (DropReason, u64)>) -> Option<Self> {
        let mut counts = [0_u64; COUNTS];
        for (reason, count) in drops {
            if let Some(sum) = counts.get_mut(reason.index()) {
                *sum = sum.saturating_add(count).min(Self::MAX_COUNT);
            }
        }
        counts.iter().any(|count| *count > 0).then_some(Self { instance, counts })
    }

    /// Reads a header; `None` if it is none, or says nothing.
    pub fn parse(header: &str) -> Option<Self> {
        if header.len() > Self::MAX_BYTES {
            return None;
        }
        let mut instance = None;
        let mut counts = [0_u64; COUNTS];
        for member in header.split(',') {
            let (key, value) = member.trim().split_once('=')?;
            if key == "id" {
                let digits = value.strip_prefix('"')?.strip_suffix('"')?;
                let is_id = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                instance = is_id.then(|| u64::from_str_radix(digits, 16).ok())?;
                continue;
            }
            let known = DropReason::from_name(key).map_or(COUNTS - 1, DropReason::index);
            let is_number = !value.is_empty() && value.bytes().all(|digit| digit.is_ascii_digit());
            let count: u64 = is_number.then(|| value.parse().ok())??;
            if count > Self::MAX_COUNT {
                return None;
            }
            let sum = counts.get_mut(known)?;
            *sum = sum.saturating_add(count).min(Self::MAX_COUNT);
        }
        counts.iter().any(|count| *count > 0).then_some(Self { instance: instance?, counts })
    }

    /// Returns who reports: one client process, for one destination.
    pub const fn instance(&self) -> u64 {
        self.instance
    }

    /// Returns the reasons that occurred with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = DropReason::ALL.iter().map(|reason| reason.as_str()).chain([Self::OTHER]);
        names.zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// Returns everything that was given up.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// The header's value.
impl fmt::Display for DropReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "id=\"{:016x}\"", self.instance)?;
        self.iter().try_for_each(|(reason, count)| write!(formatter, ", {reason}={count}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reports_read_back(instance: u64, counts in prop::collection::vec(0..=DropReport::MAX_COUNT, DropReason::ALL.len())) {
            let drops = DropReason::ALL.iter().copied().zip(counts.iter().copied());
            let report = DropReport::new(instance, drops);
            prop_assert_eq!(report.is_some(), counts.iter().any(|count| *count > 0));
            if let Some(report) = report {
                let header = report.to_string();
                prop_assert!(header.len() <= DropReport::MAX_BYTES);
                prop_assert_eq!(DropReport::parse(&header), Some(report));
                prop_assert_eq!(u128::from(report.total()), counts.iter().map(|count| u128::from(*count)).sum::<u128>());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = DropReport::parse(&text);
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let id = "id=\"9f86d081884c7d65\"";
        for header in [
            "".to_owned(),
            id.to_owned(),
            "queue_full=1".to_owned(),
            format!("{id}, queue_full=0"),
            format!("{id}, queue_full=-1"),
            format!("{id}, queue_full=+1"),
            format!("{id}, queue_full="),
            format!("{id}, queue_full"),
            format!("{id}, queue_full=9007199254740992"),
            format!("{id}, queue_full=1{}", ", a=1".repeat(300)),
            "id=9f86d081884c7d65, queue_full=1".to_owned(),
            "id=\"9f86\", queue_full=1".to_owned(),
            "id=\"+f86d081884c7d65\", queue_full=1".to_owned(),
        ] {
            assert_eq!(DropReport::parse(&header), None, "{header}");
        }
        let newer = DropReport::parse(&format!("{id}, queue_full=2, eaten_by_dog=3, lost_at_sea=4")).unwrap();
        assert_eq!(newer.iter().collect::<Vec<_>>(), [("queue_full", 2), ("other", 7)]);
        assert_eq!((newer.instance(), newer.total()), (0x9f86_d081_884c_7d65, 9));
    }
}
