//! Takes comments and literals out of Rust source, so that a scan sees only code.

/// The source with every comment and every string or character literal replaced by spaces; lines stay where they are.
pub(super) fn blank(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut blanked = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = comment_end(bytes, at)
            .or_else(|| literal_end(bytes, at))
            .unwrap_or(at);
        if end == at {
            blanked.push(bytes[at]);
            at += 1;
        } else {
            let end = end.min(bytes.len());
            blanked.extend(
                bytes[at..end]
                    .iter()
                    .map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }),
            );
            at = end;
        }
    }
    String::from_utf8_lossy(&blanked).into_owned()
}

/// Blanked source up to the tests inside the file, if there are any.
pub(super) fn before_tests(code: &str) -> &str {
    const MARK: &str = "#[cfg(test)]";
    for (at, _) in code.match_indices(MARK) {
        let after = &code[at + MARK.len()..];
        let head = &after[..after.find(['{', ';']).unwrap_or(after.len())];
        let opens_block = after[head.len()..].starts_with('{');
        if opens_block && head.split_whitespace().any(|word| word == "mod") {
            return &code[..at];
        }
    }
    code
}

/// The number of the line that holds the byte `at`, from one.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

fn comment_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start..];
    if rest.starts_with(b"//") {
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        return Some(start + length);
    }
    if !rest.starts_with(b"/*") {
        return None;
    }
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    Some(at)
}

fn literal_end(bytes: &[u8], start: usize) -> Option<usize> {
    match bytes[start] {
        b'"' => Some(quoted_end(bytes, start)),
        b'r' => raw_end(bytes, start),
        b'\'' => char_end(bytes, start),
        _ => None,
    }
}

fn quoted_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn raw_end(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let length = bytes[open + 1..]
        .windows(close.len())
        .position(|window| window == close);
    Some(length.map_or(bytes.len(), |length| open + 1 + length + close.len()))
}

/// A lifetime begins like a character literal and is none: then there is no end.
fn char_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start + 1..];
    if rest.first() == Some(&b'\\') {
        let close = rest.iter().skip(2).position(|byte| *byte == b'\'')?;
        return Some(start + 1 + 2 + close + 1);
    }
    let width = match rest.first()? {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (rest.get(width) == Some(&b'\'')).then_some(start + width + 2)
}
