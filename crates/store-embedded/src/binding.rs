//! Statements with many values, most of which are absent.

use rusqlite::{Statement, ToSql};

use crate::error::Result;

/// Binds values one after the other. What is absent costs nothing.
pub(crate) struct Binding<'s, 'c> {
    statement: &'s mut Statement<'c>,
    next: usize,
}

impl<'s, 'c> Binding<'s, 'c> {
    /// Begins with the first parameter of a statement.
    pub(crate) fn new(statement: &'s mut Statement<'c>) -> Self {
        statement.clear_bindings();
        Self { statement, next: 1 }
    }

    pub(crate) fn bind(&mut self, value: impl ToSql) -> Result<()> {
        self.statement.raw_bind_parameter(self.next, value)?;
        self.next += 1;
        Ok(())
    }

    pub(crate) fn bind_some(&mut self, value: Option<impl ToSql>) -> Result<()> {
        match value {
            Some(value) => self.bind(value),
            None => {
                self.next += 1;
                Ok(())
            }
        }
    }

    pub(crate) fn execute(self) -> Result<()> {
        debug_assert_eq!(self.next, self.statement.parameter_count() + 1, "a value for each parameter");
        self.statement.raw_execute()?;
        Ok(())
    }
}

/// Returns the places of so many parameters.
pub(crate) fn places(count: usize) -> String {
    (1..=count).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ")
}

/// Returns how many columns a list of names has.
pub(crate) fn count(columns: &str) -> usize {
    columns.split(',').count()
}

/// Returns assignments of parameters to columns, counted from `first` on.
pub(crate) fn assignments(columns: &str, first: usize) -> String {
    let assigned =
        columns.split(',').zip(first..).map(|(column, place)| format!("{} = ?{place}", column.trim()));
    assigned.collect::<Vec<_>>().join(", ")
}
