use std::fmt;

/// The outcome of a span. A span without one has none recorded (it runs, or its protocol has no status).
///
/// The three values are those of the SGP spans API (`sgp-api` 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// The work succeeded.
    Success = 1,
    /// The work failed.
    Error = 2,
    /// The work was cancelled.
    Canceled = 3,
}

impl Status {
    /// Every status, in code order.
    pub const ALL: [Self; 3] = [Self::Success, Self::Error, Self::Canceled];

    /// Returns the wire name: `SUCCESS`, `ERROR` or `CANCELED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Error => "ERROR",
            Self::Canceled => "CANCELED",
        }
    }

    /// Returns the status with this exact wire name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Returns the stable code used in stored formats.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the status with this stored code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
