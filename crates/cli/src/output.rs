//! Standard output: buffered, coloured where that helps, safe to print strangers' text on.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use crate::args::ColorChoice;

/// What a piece of text means; the colour follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// Lines of the tree, ids, units: there when looked for.
    Dim,
    /// What the eye should find first.
    Strong,
    Good,
    Bad,
    /// Running, unknown.
    Open,
    /// Span types.
    Kind,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Strong => "\x1b[1m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[1;31m",
            Self::Open => "\x1b[33m",
            Self::Kind => "\x1b[36m",
        }
    }
}

/// Where data is printed.
pub(crate) struct Output {
    writer: Box<dyn Write>,
    color: bool,
}

impl Output {
    /// Prints to standard output.
    pub(crate) fn stdout(choice: ColorChoice) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                terminal
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        };
        Self { writer: Box::new(io::BufWriter::new(stdout)), color }
    }

    /// Prints text in a style.
    pub(crate) fn put(&mut self, style: Style, text: impl fmt::Display) -> io::Result<()> {
        if self.color && style != Style::Plain {
            write!(self.writer, "{}{text}\x1b[0m", style.code())
        } else {
            write!(self.writer, "{text}")
        }
    }

    /// Ends the line.
    pub(crate) fn end_line(&mut self) -> io::Result<()> {
        self.writer.write_all(b"\n")
    }

    /// Prints bytes as they are, and ends the line.
    pub(crate) fn line(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.writer.write_all(bytes.as_ref())?;
        self.end_line()
    }

    /// Hands everything printed so far to the reader.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Returns text from a span that cannot move the cursor, change colours or reorder the line: control and
/// direction characters show as escapes, line ends as `⏎`.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push('⏎'),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(character.escape_unicode());
            }
            _ if character.is_control() => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// Cuts text to a number of terminal columns, with `…` in place of what is missing.
pub(crate) fn shorten(text: &str, columns: usize) -> String {
    use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 0;
    let mut kept = String::new();
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept
}

/// Returns the terminal columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_text_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\tc\nd\u{202e}e"), "a\\u{1b}[2Jb\\u{d}\\u{9}c⏎d\\u{202e}e");
        assert_eq!(printable("naïve ☃ 漢字 👩‍👩‍👧"), "naïve ☃ 漢字 👩‍👩‍👧");
    }

    #[test]
    fn shortening_counts_columns_not_characters() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcd", 3), "ab…");
        assert_eq!(shorten("漢字かな", 5), "漢字…");
        assert!(width(&shorten("漢字かな", 4)) <= 4);
    }
}
