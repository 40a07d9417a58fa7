//! The one merge rule of the house: *completed beats unfinished, else the later write wins*.
//!
//! It is applied in the client's queue, in the server's batches and in every store engine, always to two
//! versions of one identity (account, trace id, span id). It makes delivery idempotent and insensitive to
//! order: sending everything again changes nothing, and a late START never undoes an END.

use crate::Span;

/// Which of two versions of one span stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The version that was there first stays; the later one is superseded.
    Existing,
    /// The later version replaces the first one as a whole.
    Incoming,
}

/// Decides between an existing and a later version by whether each is completed.
pub const fn decide(existing_completed: bool, incoming_completed: bool) -> Winner {
    if existing_completed && !incoming_completed { Winner::Existing } else { Winner::Incoming }
}

/// Merges a later version into an existing one and says which stayed.
pub fn merge(existing: &mut Span, incoming: Span) -> Winner {
    let winner = decide(existing.is_completed(), incoming.is_completed());
    if winner == Winner::Incoming {
        *existing = incoming;
    }
    winner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed_beats_unfinished_else_the_later_wins() {
        assert_eq!(decide(false, false), Winner::Incoming);
        assert_eq!(decide(false, true), Winner::Incoming);
        assert_eq!(decide(true, true), Winner::Incoming);
        assert_eq!(decide(true, false), Winner::Existing);
    }
}
