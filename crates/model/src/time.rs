use std::fmt;

/// A moment in UTC with nanosecond precision, from year 1 to year 9999.
///
/// Kept as whole microseconds since the Unix epoch plus the nanoseconds below them, so that stores sort
/// by one 64-bit integer and the range of the Agentex API (`agentex-api` section 2) fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    micros: i64,
    nanos: u16,
}

impl Timestamp {
    /// 0001-01-01T00:00:00Z, the earliest moment.
    pub const MIN: Self = Self { micros: -62_135_596_800_000_000, nanos: 0 };
    /// 9999-12-31T23:59:59.999999999Z, the latest moment.
    pub const MAX: Self = Self { micros: 253_402_300_799_999_999, nanos: 999 };

    /// Returns the present moment by the system clock.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        match since {
            Ok(duration) => Self {
                micros: i64::try_from(duration.as_micros()).unwrap_or(Self::MAX.micros),
                nanos: (duration.subsec_nanos() % 1000) as u16,
            },
            Err(before) => {
                Self::from_unix_nanos(-(before.duration().as_nanos() as i128)).unwrap_or(Self::MIN)
            }
        }
    }

    /// Returns the moment this many microseconds after the Unix epoch, or `None` outside years 1 to 9999.
    pub const fn from_unix_micros(micros: i64) -> Option<Self> {
        Self::from_parts(micros, 0)
    }

    /// Returns the moment at `micros` plus `nanos` (0 to 999), or `None` outside years 1 to 9999.
    pub const fn from_parts(micros: i64, nanos: u16) -> Option<Self> {
        if micros < Self::MIN.micros || micros > Self::MAX.micros || nanos > 999 {
            return None;
        }
        Some(Self { micros, nanos })
    }

    /// Returns the moment this many nanoseconds after the Unix epoch, or `None` outside years 1 to 9999.
    pub fn from_unix_nanos(nanos: i128) -> Option<Self> {
        let micros = i64::try_from(nanos.div_euclid(1000)).ok()?;
        Self::from_parts(micros, nanos.rem_euclid(1000) as u16)
    }

    /// Returns midnight UTC of a date, or `None` if there is no such date in years 1 to 9999.
    pub fn from_date(year: i64, month: u32, day: u32) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last_day = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=9999).contains(&year) || day < 1 || day > last_day {
            return None;
        }
        Self::from_unix_micros(days_from_civil(year, month, day) * 86_400_000_000)
    }

    /// Returns whole microseconds since the Unix epoch, rounded down.
    pub const fn unix_micros(self) -> i64 {
        self.micros
    }

    /// Returns the nanoseconds below the microsecond, 0 to 999.
    pub const fn subsec_nanos_below_micro(self) -> u16 {
        self.nanos
    }

    /// Returns nanoseconds since the Unix epoch.
    pub const fn unix_nanos(self) -> i128 {
        self.micros as i128 * 1000 + self.nanos as i128
    }

    /// Returns the nanoseconds from `earlier` to `self`; negative when `self` comes first.
    pub const fn nanos_since(self, earlier: Self) -> i128 {
        self.unix_nanos() - earlier.unix_nanos()
    }

    /// Returns `YYYY-MM-DDTHH:MM:SS[.ffffff]`, without zone: no fraction when the microseconds are 0,
    /// otherwise six digits. Nanoseconds are cut off (`agentex-api` section 2).
    pub fn format_micros(self) -> String {
        String::from_utf8(self.micros_text().as_ref().to_vec()).unwrap_or_default()
    }

    /// Returns the text of [`format_micros`](Self::format_micros) without taking memory for it.
    pub fn micros_text(self) -> MicrosText {
        let fraction = self.micros.rem_euclid(1_000_000);
        let seconds = self.micros.div_euclid(1_000_000);
        let second_of_day = seconds.rem_euclid(86_400) as u32;
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let pair = |value: u32| [b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8];
        let ([c1, c2], [y1, y2]) = (pair(year as u32 / 100), pair(year as u32 % 100));
        let ([m1, m2], [d1, d2]) = (pair(month), pair(day));
        let [h1, h2] = pair(second_of_day / 3600);
        let ([i1, i2], [s1, s2]) = (pair(second_of_day / 60 % 60), pair(second_of_day % 60));
        let micros = fraction as u32;
        let ([f1, f2], [f3, f4], [f5, f6]) =
            (pair(micros / 10_000), pair(micros / 100 % 100), pair(micros % 100));
        let text = [
            c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, b'.', f1,
            f2, f3, f4, f5, f6,
        ];
        MicrosText { text, len: if fraction == 0 { SECONDS_BYTES } else { text.len() } }
    }
}

/// Bytes of a time without fraction.
const SECONDS_BYTES: usize = "YYYY-MM-DDTHH:MM:SS".len();

/// A time as ASCII text, from [`Timestamp::micros_text`].
#[derive(Clone, Copy, Debug)]
pub struct MicrosText {
    text: [u8; "YYYY-MM-DDTHH:MM:SS.ffffff".len()],
    len: usize,
}

impl AsRef<[u8]> for MicrosText {
    fn as_ref(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

/// Returns year, month and day of a day count from 1970-01-01 in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years (146,097 days) that begin on 1 March, so that the leap day comes last.
/// Kept here because date libraries end their range of instants before 9999-12-31T23:59:59Z.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// Returns the days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Shows the moment as RFC 3339 in UTC with microseconds, for people and logs.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}Z", self.format_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_print_with_four_digit_years() {
        assert_eq!(Timestamp::MIN.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn fraction_has_six_digits_or_none() {
        assert_eq!(
            Timestamp::from_unix_micros(1_704_103_200_000_000).unwrap().to_string(),
            "2024-01-01T10:00:00Z"
        );
        assert_eq!(
            Timestamp::from_unix_micros(1_704_103_200_100_000).unwrap().to_string(),
            "2024-01-01T10:00:00.100000Z"
        );
        assert_eq!(Timestamp::from_unix_micros(-1).unwrap().to_string(), "1969-12-31T23:59:59.999999Z");
    }

    proptest::proptest! {
        #[test]
        fn nanos_round_trip(nanos in Timestamp::MIN.unix_nanos()..=Timestamp::MAX.unix_nanos()) {
            let moment = Timestamp::from_unix_nanos(nanos).unwrap();
            proptest::prop_assert_eq!(moment.unix_nanos(), nanos);
        }
    }

    #[test]
    fn dates_agree_with_a_date_library() {
        for days in (-719_162..2_932_896).step_by(97) {
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);
            let (year, month, day) = (i64::from(date.year()), date.month() as u32, date.day() as u32);
            assert_eq!(civil_from_days(days.into()), (year, month, day));
            let midnight = Timestamp::from_date(year, month, day).unwrap();
            assert_eq!(midnight.unix_micros(), i64::from(days) * 86_400_000_000);
        }
        assert_eq!(Timestamp::from_date(2023, 2, 29), None);
        assert_eq!(Timestamp::from_date(2024, 13, 1), None);
        assert_eq!(Timestamp::from_date(0, 1, 1), None);
    }

    #[test]
    fn outside_the_range_is_none() {
        assert_eq!(Timestamp::from_unix_nanos(Timestamp::MAX.unix_nanos() + 1), None);
        assert_eq!(Timestamp::from_unix_nanos(Timestamp::MIN.unix_nanos() - 1), None);
    }
}
