//! A run of rows as columns.

/// The duration of a span without an end.
pub(crate) const NO_DURATION: i64 = i64::MIN;

/// What the columns hold of a row. Codes and hashes of absent values are 0; account keys begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColumnRow {
    pub(crate) sequence: i64,
    pub(crate) start: i64,
    /// In microseconds; [`NO_DURATION`] without an end.
    pub(crate) duration: i64,
    pub(crate) input_tokens: i64,
    pub(crate) output_tokens: i64,
    pub(crate) account: u32,
    pub(crate) trace: u32,
    pub(crate) block: u32,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) variant: u32,
    pub(crate) agent_id: u32,
    pub(crate) agent_name: u32,
    pub(crate) acp_type: u32,
    pub(crate) obs_trace: u32,
    pub(crate) obs_span: u32,
    pub(crate) name: u16,
    pub(crate) status: u8,
    pub(crate) span_type: u8,
}

/// A column. While all values are the same, it takes no room.
#[derive(Clone, Debug)]
pub(crate) enum Column<T> {
    Same(T),
    Each(Vec<T>),
}

impl<T: Copy + PartialEq + Default> Default for Column<T> {
    fn default() -> Self {
        Self::Same(T::default())
    }
}

impl<T: Copy + PartialEq + Default> Column<T> {
    pub(crate) fn get(&self, at: usize) -> T {
        match self {
            Self::Same(value) => *value,
            Self::Each(values) => values.get(at).copied().unwrap_or_default(),
        }
    }

    fn push(&mut self, value: T, rows: usize) {
        match self {
            Self::Same(same) if rows == 0 => *same = value,
            Self::Same(same) if *same == value => {}
            Self::Same(_) => {
                self.spread(rows);
                self.push(value, rows);
            }
            Self::Each(values) => values.push(value),
        }
    }

    fn set(&mut self, at: usize, value: T, rows: usize) {
        match self {
            Self::Same(same) if *same == value => {}
            Self::Same(_) => {
                self.spread(rows);
                self.set(at, value, rows);
            }
            Self::Each(values) => {
                if let Some(room) = values.get_mut(at) {
                    *room = value;
                }
            }
        }
    }

    fn spread(&mut self, rows: usize) {
        if let Self::Same(same) = self {
            *self = Self::Each(vec![*same; rows]);
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Same(_) => 0,
            Self::Each(values) => values.capacity() * size_of::<T>(),
        }
    }
}

macro_rules! columns {
    ($($(#[$attribute:meta])* $name:ident: $kind:ty,)*) => {
        /// Rows with neighbouring sequences.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Segment {
            sequences: Vec<i64>,
            /// Rows that are not gone.
            alive: usize,
            starts: (i64, i64),
            longest_duration: i64,
            $($(#[$attribute])* pub(crate) $name: Column<$kind>,)*
        }

        impl Segment {
            /// Adds a row whose sequence is above all others.
            pub(crate) fn push(&mut self, row: &ColumnRow) {
                let rows = self.sequences.len();
                $(self.$name.push(row.$name, rows);)*
                self.sequences.push(row.sequence);
                self.alive += 1;
                self.widen(row, rows == 0);
            }

            pub(crate) fn set(&mut self, at: usize, row: &ColumnRow) {
                let rows = self.sequences.len();
                $(self.$name.set(at, row.$name, rows);)*
                self.widen(row, false);
            }

            /// Returns the bytes of memory that it takes.
            pub(crate) fn bytes(&self) -> usize {
                size_of::<Self>() + self.sequences.capacity() * 8 $(+ self.$name.bytes())*
            }
        }
    };
}

columns! {
    start: i64,
    duration: i64,
    input_tokens: i64,
    output_tokens: i64,
    /// 0 for a row that is gone.
    account: u32,
    trace: u32,
    block: u32,
    parent: u32,
    group: u32,
    variant: u32,
    agent_id: u32,
    agent_name: u32,
    acp_type: u32,
    obs_trace: u32,
    obs_span: u32,
    name: u16,
    status: u8,
    span_type: u8,
}

impl Segment {
    fn widen(&mut self, row: &ColumnRow, is_first: bool) {
        let (earliest, latest) = if is_first { (row.start, row.start) } else { self.starts };
        self.starts = (earliest.min(row.start), latest.max(row.start));
        self.longest_duration = self.longest_duration.max(row.duration);
    }

    pub(crate) fn len(&self) -> usize {
        self.sequences.len()
    }

    pub(crate) fn sequence(&self, at: usize) -> i64 {
        self.sequences.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn first_sequence(&self) -> i64 {
        self.sequences.first().copied().unwrap_or(i64::MAX)
    }

    pub(crate) fn last_sequence(&self) -> i64 {
        self.sequences.last().copied().unwrap_or(i64::MIN)
    }

    /// Returns where a row is.
    pub(crate) fn find(&self, sequence: i64) -> Option<usize> {
        self.sequences.binary_search(&sequence).ok()
    }

    pub(crate) fn set_block(&mut self, at: usize, block: u32) {
        let rows = self.len();
        self.block.set(at, block, rows);
    }

    pub(crate) fn delete(&mut self, at: usize) {
        if self.account.get(at) != 0 {
            let rows = self.len();
            self.account.set(at, 0, rows);
            self.alive -= 1;
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.alive == 0
    }

    /// Returns the earliest and the latest start of a row that was ever here.
    pub(crate) fn starts(&self) -> (i64, i64) {
        self.starts
    }

    pub(crate) fn latest_start(&self) -> i64 {
        self.starts.1
    }

    /// Returns a duration that no row exceeds; none counts as 0.
    pub(crate) fn longest_duration(&self) -> i64 {
        self.longest_duration
    }
}
