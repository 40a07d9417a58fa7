use super::{Cursor, Found, Syntax};

/// A magnitude of fewer characters without an exponent cannot overflow a double.
const SAFE_NUMBER_CHARS: usize = 300;

impl Cursor<'_> {
    /// Passes over a number, from its sign or first digit on.
    pub(super) fn number(&mut self) -> Result<(), Syntax> {
        let start = self.at();
        if self.take(b'-') && self.peek() == Some(b'I') {
            return self.not_finite();
        }
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        let has_exponent = self.take(b'e') || self.take(b'E');
        if has_exponent {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let number = self.since(start);
        if has_exponent || number.len() > SAFE_NUMBER_CHARS {
            let value = std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok());
            if value.is_none_or(f64::is_infinite) {
                self.found.set(Found::OVERFLOW);
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { self.expected("a digit") } else { Ok(()) }
    }
}
