//! The demo's events for people.

use std::fmt::Display;

use o_address::TransportAddr;
use o_node::TreeNode;

use super::event::{Event, Role, Share};
use crate::{
    commands::drawn,
    exit::Failure,
    output::{Output, Style, one_line},
};

/// Columns that a sentence may take.
const WIDTH: usize = 92;

/// Writes each event as it happens.
#[derive(Debug)]
pub(super) struct Show<'a> {
    output: &'a Output,
    /// Where the last sentence stood: in a document, or among those for all.
    heading: Option<String>,
}

impl<'a> Show<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            heading: None,
        }
    }

    /// # Errors
    /// If nobody reads any more.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Failure> {
        if self.output.is_json() {
            return match event {
                // It comes on standard error.
                Event::Failed(_) => Ok(()),
                event => self.output.value(event),
            };
        }
        match event {
            Event::Started { path, network } => self.started(path, network),
            Event::Ready { .. } => self.ready(event),
            Event::Found { .. } => self.found(event),
            Event::Connected {
                address,
                transport,
                elapsed_ms,
                ..
            } => {
                let transport = one_line(transport);
                let text = format!("to {address} over {transport}, up to its greeting");
                self.step("connect", text, *elapsed_ms)
            }
            Event::Searched { .. } => self.searched(event),
            Event::Sentence {
                document,
                sentence,
                overall,
                ..
            } => self.sentence(document, sentence, *overall),
            Event::Summarized { .. } => self.summarized(event),
            Event::Spread {
                capability,
                method,
                calls,
                by,
                elapsed_ms,
            } => {
                let text = format!(
                    "{calls} calls of `{method}` to whoever can {capability}: {}",
                    shares(by)
                );
                self.step("spread", text, *elapsed_ms)
            }
            Event::Killed { pid, address, .. } => {
                let mark = self.output.paint(Style::Red, "✗");
                let name = self
                    .output
                    .paint(Style::Bold, format_args!("{:<8}", "kill"));
                self.output.line(format!(
                    "{mark} {name} {address}, pid {pid}, in the middle of it"
                ))
            }
            Event::FailedOver { .. } => self.failed_over(event),
            Event::Tree { nodes } => self.tree(nodes),
            Event::Failed(_) => Ok(()),
            Event::Done {
                processes,
                elapsed_ms,
            } => self.done(*processes, *elapsed_ms),
        }
    }

    fn started(&self, path: &str, network: &str) -> Result<(), Failure> {
        let output = self.output;
        output.line(output.paint(
            Style::Bold,
            format!(
                "Agents that find and call each other, on {}",
                one_line(path)
            ),
        ))?;
        let text = format!(
            "Five processes, each with a key of its own, over encrypted TCP on 127.0.0.1; network {network}."
        );
        output.line(output.paint(Style::Dim, text))?;
        output.line("")
    }

    fn ready(&self, event: &Event) -> Result<(), Failure> {
        let Event::Ready {
            role,
            pid,
            peer_id,
            address,
            capabilities,
            listen,
            elapsed_ms,
        } = event
        else {
            return Ok(());
        };
        let does = match (role, address) {
            (Role::Leader, _) => "the one node that the others know".to_owned(),
            (Role::Caller, _) => "knows the leader, two capabilities and no address".to_owned(),
            (_, Some(address)) => {
                let capabilities: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
                format!("{address} can {}", capabilities.join(", "))
            }
            (_, None) => String::new(),
        };
        let place = listen.first().map_or("listens nowhere".to_owned(), place);
        let process = format!("pid {pid}, peer {}, {place}", peer_id.short());
        let text = format!(
            "{does} {}",
            self.output.paint(Style::Dim, format!("({process})"))
        );
        self.step(role.name(), text, *elapsed_ms)
    }

    fn found(&self, event: &Event) -> Result<(), Failure> {
        let Event::Found {
            capability,
            address,
            peer_id,
            addresses,
            source,
            confirmed,
            elapsed_ms,
            ..
        } = event
        else {
            return Ok(());
        };
        let by = if *confirmed {
            ", confirmed by its key"
        } else {
            ""
        };
        let place = addresses.first().map(place).unwrap_or_default();
        let (peer, source) = (peer_id.short(), one_line(&source.join(", ")));
        let peer = self
            .output
            .paint(Style::Dim, format!("({peer} at {place})"));
        let text = format!("{capability} → {address} through {source}{by} {peer}");
        self.step("find", text, *elapsed_ms)
    }

    fn sentence(&mut self, document: &str, sentence: &str, overall: bool) -> Result<(), Failure> {
        let output = self.output;
        let heading = if overall { "All together" } else { document };
        if self.heading.as_deref() != Some(heading) {
            output.line("")?;
            output.line(format!(
                "  {}",
                output.paint(Style::Cyan, one_line(heading))
            ))?;
            self.heading = Some(heading.to_owned());
        }
        let sentence = plain(&one_line(sentence));
        for (index, line) in wrapped(&sentence, WIDTH).into_iter().enumerate() {
            let begin = if index == 0 { "  • " } else { "    " };
            output.line(format!("{begin}{line}"))?;
        }
        match overall {
            true => output.line(format!(
                "    {}",
                output.paint(Style::Dim, one_line(document))
            )),
            false => Ok(()),
        }
    }

    fn searched(&self, event: &Event) -> Result<(), Failure> {
        let Event::Searched {
            query,
            hits,
            files,
            truncated,
            elapsed_ms,
            ..
        } = event
        else {
            return Ok(());
        };
        let about = query.as_ref().map_or(String::new(), |query| {
            format!(" about \"{}\"", one_line(query))
        });
        let bytes = hits.iter().map(|hit| hit.bytes as u64).sum();
        let more = if *truncated { "more than " } else { "" };
        let (files, size, hits) = (count(*files, "file"), size(bytes), hits.len());
        let text = format!("o://demo/files chose {hits} of {more}{files}{about}, {size}");
        self.step("search", text, *elapsed_ms)
    }

    fn summarized(&self, event: &Event) -> Result<(), Failure> {
        let Event::Summarized {
            from,
            to,
            documents,
            bytes,
            sentences,
            first_ms,
            elapsed_ms,
        } = event
        else {
            return Ok(());
        };
        self.output.line("")?;
        if *sentences == 0 {
            let text = "  There is no sentence in these files; code and tables are not read.";
            self.output.line(self.output.paint(Style::Dim, text))?;
        }
        let first = first_ms.map_or(String::new(), |ms| format!(", the first after {ms:.0} ms"));
        let (files, sentences) = (count(*documents, "file"), count(*sentences, "sentence"));
        let size = size(*bytes);
        let text = format!("{files}, {size}, from {from} to {to}; {sentences} back{first}");
        self.step("pipe", text, *elapsed_ms)
    }

    fn failed_over(&self, event: &Event) -> Result<(), Failure> {
        let Event::FailedOver {
            calls,
            failed,
            again,
            by,
            slowest_ms,
            elapsed_ms,
        } = event
        else {
            return Ok(());
        };
        let text = format!(
            "{calls} calls meanwhile: {failed} failed, {again} made again elsewhere, the slowest {slowest_ms:.0} ms; {}",
            shares(by)
        );
        self.step("go on", text, *elapsed_ms)
    }

    fn tree(&self, nodes: &[TreeNode]) -> Result<(), Failure> {
        for line in drawn(nodes) {
            let line = self.output.paint(Style::Dim, line);
            self.output.line(format!("           {line}"))?;
        }
        Ok(())
    }

    fn done(&self, processes: usize, elapsed_ms: f64) -> Result<(), Failure> {
        let text = format!("{processes} processes have ended, their keys are removed");
        self.step("done", text, elapsed_ms)?;
        let output = self.output;
        output.line("")?;
        output.line(output.paint(Style::Bold, "Next"))?;
        for (command, what) in [
            (
                "o demo ~/Documents --query \"words of yours\"",
                "the same on files of your own",
            ),
            ("o demo --watch", "with the tree of the network"),
            ("o serve o://try/echo", "an agent; in another terminal:"),
            ("o call o://try/echo echo '\"hello\"'", "call it"),
        ] {
            output.line(format!("  {command:<44}{}", output.paint(Style::Dim, what)))?;
        }
        Ok(())
    }

    fn step(&self, name: &str, text: impl Display, elapsed_ms: f64) -> Result<(), Failure> {
        let output = self.output;
        let tick = output.paint(Style::Green, "✓");
        let time = match elapsed_ms {
            ms if ms < 10.0 => format!("{ms:.1} ms"),
            ms => format!("{ms:.0} ms"),
        };
        let name = output.paint(Style::Bold, format_args!("{name:<8}"));
        output.line(format!(
            "{tick} {name} {} {}",
            text,
            output.paint(Style::Dim, format_args!("· {time}"))
        ))
    }
}

/// Who has answered how many calls.
fn shares(by: &[Share]) -> String {
    let each = by
        .iter()
        .map(|share| format!("{} {}", share.address, share.calls));
    each.collect::<Vec<_>>().join(", ")
}

/// A transport address without its peer.
fn place(address: &TransportAddr) -> String {
    address
        .without_peer()
        .as_ref()
        .unwrap_or(address)
        .to_string()
}

fn count(number: usize, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        _ => format!("{number} {of}s"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        _ => format!("{:.1} KiB", bytes as f64 / 1024.0),
    }
}

/// Markdown without its marks: emphasis, code, and links without their targets.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("](") {
        let (before, after) = rest.split_at(at);
        match (before.rfind('['), after.find(')')) {
            (Some(open), Some(close)) => {
                plain.push_str(&before[..open]);
                plain.push_str(&before[open + 1..]);
                rest = &after[close + 1..];
            }
            _ => {
                plain.push_str(before);
                plain.push_str("](");
                rest = &after[2..];
            }
        }
    }
    plain.push_str(rest);
    plain.replace("**", "").replace('`', "")
}

/// The words of a text in lines of at most so many characters, longer words apart.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_off() {
        assert_eq!(
            plain("**Bold** and `code` in [a link](to/it.md)."),
            "Bold and code in a link."
        );
        assert_eq!(plain("![x](y) [a](b) and [c](d"), "!x a and [c](d");
        assert_eq!(plain("odd ]( brackets](x)"), "odd ]( brackets](x)");
        assert_eq!(plain("a[0](x)é"), "a0é");
    }

    #[test]
    fn lines_are_not_too_long() {
        assert_eq!(
            wrapped("one two  three\nfour", 9),
            ["one two", "three", "four"]
        );
        assert_eq!(wrapped("a verylongword b", 5), ["a", "verylongword", "b"]);
    }
}
