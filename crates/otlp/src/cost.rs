//! What model calls cost, by a price table that is dated and that users can replace.
//!
//! Nothing of this is stored: costs are recomputed from the usage of the spans whenever they are asked for, so a new
//! table corrects old traces too. All arithmetic is exact: amounts are whole picodollars.

mod ledger;
mod price_table;
mod tree;

pub use ledger::{Counted, Duplicate, Ledger, ModelTotal, Rollup, call_cost, ledger};
pub use price_table::{Cost, CostLine, PriceTable, PriceTableError, TokenKind};

use std::fmt;
use std::iter::Sum;
use std::ops::AddAssign;

use serde::{Serialize, Serializer};

/// An amount of US dollars in units of 10⁻¹² dollars: one token at one dollar a million tokens costs a million
/// of them. Shows and serializes as a decimal number of dollars in text: `"0.00052"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, example = "0.00052"))]
pub struct Dollars(u128);

impl Dollars {
    /// Returns the amount of picodollars.
    pub const fn from_picodollars(picodollars: u128) -> Self {
        Self(picodollars)
    }

    /// Returns the amount in picodollars.
    pub const fn picodollars(self) -> u128 {
        self.0
    }

    /// Returns the amount in dollars, rounded to what a double holds.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1e12
    }
}

impl AddAssign for Dollars {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

impl Sum for Dollars {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        let mut sum = Self::default();
        amounts.for_each(|amount| sum += amount);
        sum
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNIT: u128 = 1_000_000_000_000;
        let fraction = format!("{:012}", self.0 % UNIT);
        match fraction.trim_end_matches('0') {
            "" => write!(formatter, "{}", self.0 / UNIT),
            fraction => write!(formatter, "{}.{fraction}", self.0 / UNIT),
        }
    }
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
