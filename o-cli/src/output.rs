//! What the program writes: results on standard output, everything else on standard error.

mod table;
mod visible;

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use serde::Serialize;
use terminal_size::{Height, Width};

pub(crate) use self::{
    table::Table,
    visible::{in_json, message, one_line, visible},
};
use crate::exit::{Exit, Failure};

/// How a piece of text looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Cyan => "36",
        }
    }
}

/// Where results, notes and errors go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    /// Whether standard output is a terminal, which must not see what a peer could make it do.
    terminal: bool,
    /// The same for standard error.
    error_terminal: bool,
    color: bool,
    error_color: bool,
}

impl Output {
    /// Output for people, or with `json` for programs. Color only on a terminal, and never where
    /// `NO_COLOR` is set or the terminal is `dumb`.
    pub(crate) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let (terminal, error_terminal) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            json,
            terminal,
            error_terminal,
            color: wanted && !json && terminal,
            error_color: wanted && !json && error_terminal,
        }
    }

    /// Whether programs read this: one compact JSON value a line.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes one line of a result. Whoever calls makes visible what others wrote of it.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Writes one compact JSON value and a line's end.
    pub(crate) fn value(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|e| Failure::internal(e.to_string()))?;
        self.json_text(&text)
    }

    /// Writes a JSON value, laid out as it is, and a line's end.
    pub(crate) fn json_text(&self, json: &str) -> Result<(), Failure> {
        self.line(shown_json(self.terminal, json))
    }

    /// Writes bytes as they are; on a terminal, as text.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(&shown_bytes(self.terminal, bytes))?;
        Ok(out.flush()?)
    }

    /// Writes a table.
    pub(crate) fn table(&self, table: &Table) -> Result<(), Failure> {
        for (index, line) in table.lines().into_iter().enumerate() {
            match index {
                0 => self.line(self.paint(Style::Bold, line))?,
                _ => self.line(line)?,
            }
        }
        Ok(())
    }

    /// Says something about the work, on standard error; nothing with `--json`.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.json {
            say(&text);
        }
    }

    /// Says how the work was done, on standard error, because it was asked for.
    pub(crate) fn aside(&self, text: impl Display) {
        say(&text);
    }

    /// Says that work goes on, on standard error, if somebody looks at it.
    pub(crate) fn progress(&self, text: impl Display) {
        if !self.json && io::stderr().is_terminal() {
            say(&self.paint_error(Style::Dim, text));
        }
    }

    /// Whether somebody watches standard error on a terminal that can overwrite a line.
    pub(crate) fn is_live(&self) -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        !self.json && !dumb && io::stderr().is_terminal()
    }

    /// Puts a line in place of the last one of these, on standard error; an empty one takes it away.
    /// For a terminal only: see [`is_live`](Self::is_live).
    pub(crate) fn overwrite(&self, text: impl Display) {
        let mut err = io::stderr().lock();
        let _ = write!(err, "\r\u{1b}[2K{text}").and_then(|()| err.flush());
    }

    /// Columns of standard output, where it is a terminal; 80 of one that does not say.
    pub(crate) fn columns(&self) -> Option<usize> {
        let out = io::stdout();
        out.is_terminal()
            .then(|| columns(terminal_size::terminal_size_of(out)))
    }

    /// Columns of standard error; 80 where nobody says how many.
    pub(crate) fn error_columns(&self) -> usize {
        columns(terminal_size::terminal_size_of(io::stderr()))
    }

    /// Says why the command failed, on standard error.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.exit == Exit::Silent {
            return;
        }
        if self.json {
            let json = failure.to_json().to_string();
            return say(&shown_json(self.error_terminal, &json));
        }
        let label = self.paint_error(Style::Red, "error");
        say(&format_args!("{label}: {}", message(&failure.message)));
        if let Some(hint) = &failure.hint {
            let label = self.paint_error(Style::Cyan, "hint");
            say(&format_args!("{label}: {}", message(hint)));
        }
    }

    /// `text` in a style, where standard output is a terminal.
    pub(crate) fn paint(&self, style: Style, text: impl Display) -> String {
        painted(self.color, style, text)
    }

    fn paint_error(&self, style: Style, text: impl Display) -> String {
        painted(self.error_color, style, text)
    }
}

fn columns(size: Option<(Width, Height)>) -> usize {
    size.map_or(80, |(Width(columns), _)| columns.into())
}

fn painted(color: bool, style: Style, text: impl Display) -> String {
    match color {
        true => format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()),
        false => text.to_string(),
    }
}

/// Writes a line to standard error; if nobody reads that, there is nobody to tell.
fn say(text: &impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The same value, with nothing in its strings that does something to a terminal.
fn shown_json(terminal: bool, json: &str) -> Cow<'_, str> {
    match terminal {
        true => in_json(json),
        false => json.into(),
    }
}

fn shown_bytes(terminal: bool, bytes: &[u8]) -> Cow<'_, [u8]> {
    match terminal {
        true => visible(&String::from_utf8_lossy(bytes)).into_bytes().into(),
        false => bytes.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_made_visible_for_a_terminal_only() {
        let (bytes, json) = (&b"a\x1b]0;x\x07\xff\n"[..], "\"\u{9b}2J\"");
        assert_eq!(&*shown_bytes(false, bytes), bytes);
        assert_eq!(shown_json(false, json), json);
        assert_eq!(
            &*shown_bytes(true, bytes),
            "a\u{fffd}]0;x\u{fffd}\u{fffd}\n".as_bytes()
        );
        assert_eq!(shown_json(true, json), "\"\\u009b2J\"");
    }

    #[test]
    fn color_is_only_for_terminals() {
        assert_eq!(painted(false, Style::Red, "x"), "x");
        assert_eq!(painted(true, Style::Red, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
